"""Label augmentation by rotations against its baselines, Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/core/sla.py --workdir DIR
Sizes:  2,500 training images at 14 pixels, 10,000 test images, ConvNet of
        widths 8, 16, 600 steps of 64 images (in all four rotations, in every
        arm but the first), 5 seeds.

The learning rate was chosen for each arm on val, out of 0.003, 0.01, 0.03.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  together = "{'test': 'aggregated_logits', 'val': 'aggregated_logits'}"

  def arm(lr, *, outputs="{}", heads="{}", **learner):
    return dict(
      config="configs/core/sla.py",
      set=(
        f"learner={learner}",
        f"model.heads={heads}",
        f"evaluation.outputs={outputs}",
        f"schedule.peak_lr={lr}",
      ),
    )

  sla = dict(name="label_augmentation", heads="{'joint': {'width': 40}}")
  return dict(
    arms=dict(
      baseline=arm(0.01, name="supervised"),
      augmentation=arm(0.03, name="label_augmentation", labels="class"),
      multi_task=arm(
        0.03, name="label_augmentation", labels="separate",
        heads="{'transformation': {'width': 4}}",
      ),
      sla_aggregated=arm(0.01, outputs=together, **sla),
      sla_distilled=arm(0.01, distill=True, **sla),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.val_fraction=0.05",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 2500}",
      "scenario.augment=()",
      "scenario.preprocess=({'name': 'resize', 'size': 14}, "
      "{'name': 'normalize', 'mean': (0.286,), 'std': (0.353,)})",
      "model={'name': 'convnet', 'widths': (8, 16), 'hidden': 64}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.02}",
      "schedule={'name': 'cosine', 'peak_lr': 0.003, 'warmup_steps': 30}",
      "total_steps=600",
      "batch_size=64",
      "log_every_steps=20",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    claim="DA < baseline, MT near it, SLA+AG one point above, SLA+SD within "
    "0.7 points of SLA+AG",
  )  # fmt: skip
