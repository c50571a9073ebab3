"""Multi-sample dropout against ordinary dropout on Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/core/multi_sample_dropout.py \
            --workdir DIR
Sizes:  9,500 training images, 10,000 test images, 5 epochs, 5 seeds.
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
      "scenario.source='fashion_mnist'",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 10000}",
      "scenario.augment=()",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.286,), "
      "'std': (0.353,)},)",
      "model={'name': 'convnet', 'widths': (16, 32), 'hidden': 128, "
      "'dropout': 0.5, 'dropout_samples': 8}",
      "total_epochs=5",
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
