"""Decoupled mixup against mixup and its kin, Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/core/decoupled_mixup.py \
            --workdir DIR
Then:   python experiments/core/decoupled_mixup_pairs.py --runs DIR
Sizes:  5,000 training images at 14 pixels, 10,000 test images, ConvNet of
        widths 16, 32, 20 epochs, 5 seeds.

Every arm has the paper's constants (alpha 1, eta 0.1). The learning rate was
chosen for each arm on val, out of 0.001, 0.003, 0.01.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  soft, decoupled = "soft_cross_entropy_loss", "decoupled_mixup_loss"

  def arm(objective, mixing, lr=0.01):
    learner = dict(name="supervised", objective=objective, mixing=mixing)
    return dict(
      config="configs/core/decoupled_mixup.py",
      set=(f"learner={learner}", f"schedule.peak_lr={lr}"),
    )

  arms = dict(none=arm(soft, None, lr=0.003))
  for name in ("mixup", "cutmix"):
    mixing = dict(name=name, alpha=1.0)
    arms[name] = arm(soft, mixing)
    arms[f"decoupled_{name}"] = arm(decoupled, mixing)
  return dict(
    arms=arms,
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 5000}",
      "scenario.augment=()",
      "scenario.preprocess=({'name': 'resize', 'size': 14}, "
      "{'name': 'normalize', 'mean': (0.286,), 'std': (0.353,)})",
      "model={'name': 'convnet', 'widths': (16, 32), 'hidden': 128}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.02}",
      "schedule={'name': 'cosine', 'peak_lr': 0.003, 'warmup_epochs': 1}",
      "batch_size=128",
      "total_epochs=20",
      "log_every_steps=20",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("test/negative_log_likelihood",),
    baseline="mixup",
    claim="decoupled mixup at least as accurate as mixup",
  )
