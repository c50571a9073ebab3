"""As multi_sample_dropout.py, on scikit-learn's digits.

Run:    jaxcls compare --workdir DIR \
            --experiment experiments/core/multi_sample_dropout_digits.py
Sizes:  1,437 training images of 8 x 8, 360 test images, 15 epochs, 5 seeds.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  quarters = (0.25, 0.5, 0.75, 1.0)
  return dict(
    arms=dict(
      ordinary=dict(
        config="configs/core/multi_sample_dropout.py",
        set=("model.dropout_samples=1",),
      ),
      multi_sample=dict(config="configs/core/multi_sample_dropout.py"),
    ),
    set=(
      "scenario.source='digits'",
      "scenario.val_fraction=0.0",
      "scenario.augment=()",
      "scenario.preprocess=()",
      "batch_size=64",
      "model={'name': 'convnet', 'widths': (16, 32), 'hidden': 128, "
      "'dropout': 0.5, 'dropout_samples': 8}",
      "total_epochs=15",
      "log_every_steps=5",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=(
      *(f"train/loss@{q}" for q in quarters),
      "test/negative_log_likelihood",
      "time/seconds_per_step@1.0",
    ),
    claim="lower training loss at every quarter, test error not higher",
  )
