"""Decoupled mixup against mixup, scikit-learn's digits.

Run:    jaxcls compare --experiment experiments/core/decoupled_mixup_digits.py \
            --workdir DIR
Then:   python experiments/core/decoupled_mixup_pairs.py --runs DIR
Sizes:  1,293 training, 144 validation and 360 test images of 8 x 8 pixels,
        ConvNet of widths 16, 32, 40 epochs, 5 seeds.

The paper's constants. The learning rate was chosen for each arm on val, seed
100, out of 0.001, 0.003, 0.01; 0.001 and 0.01 tie for decoupled mixup, the
latter with the lower loss.
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

  arms = dict(none=arm(soft, None))
  mixing = dict(name="mixup", alpha=1.0)
  arms["mixup"] = arm(soft, mixing, lr=0.001)
  arms["decoupled_mixup"] = arm(decoupled, mixing)
  return dict(
    arms=arms,
    set=(
      "scenario.source='digits'",
      "scenario.val_fraction=0.1",
      "scenario.augment=()",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.305,), "
      "'std': (0.376,)},)",
      "model={'name': 'convnet', 'widths': (16, 32), 'hidden': 128}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.02}",
      "schedule={'name': 'cosine', 'peak_lr': 0.003, 'warmup_epochs': 1}",
      "batch_size=64",
      "total_epochs=40",
      "log_every_steps=20",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("test/negative_log_likelihood",),
    baseline="mixup",
    claim="decoupled mixup at least as accurate as mixup",
  )
