"""Label augmentation against cross-entropy, long-tailed Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/core/sla_long_tailed.py \
            --workdir DIR
Sizes:  classes of 1,000 down to 20 images (ratio 50) at 14 pixels, 10,000 test
        images, ConvNet of widths 8, 16, 600 steps of 64 images, 5 seeds.

Learning rates as in sla.py.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(lr, learner, heads="{}"):
    return dict(
      config="configs/core/sla.py",
      set=(
        f"learner={learner}",
        f"model.heads={heads}",
        f"schedule.peak_lr={lr}",
      ),
    )

  sla = dict(name="label_augmentation", distill=True)
  return dict(
    arms=dict(
      cross_entropy=arm(0.01, dict(name="supervised")),
      sla_distilled=arm(0.01, sla, "{'joint': {'width': 40}}"),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.val_fraction=0.05",
      "scenario.subset={'name': 'long_tailed_subset', 'ratio': 50, "
      "'num_head': 1000}",
      "scenario.augment=()",
      "scenario.preprocess=({'name': 'resize', 'size': 14}, "
      "{'name': 'normalize', 'mean': (0.286,), 'std': (0.353,)})",
      "model={'name': 'convnet', 'widths': (8, 16), 'hidden': 64}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.02}",
      "schedule={'name': 'cosine', 'peak_lr': 0.003, 'warmup_steps': 30}",
      "evaluation={'metrics': ('balanced_accuracy', 'accuracy')}",
      "total_steps=600",
      "batch_size=64",
      "log_every_steps=20",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/balanced_accuracy",
    claim="SLA+SD above cross-entropy in balanced accuracy",
  )
