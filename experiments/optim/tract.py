"""TrAct with three quarters of the epochs against the ordinary gradient.

Run:    jaxcls compare --experiment experiments/optim/tract.py --workdir DIR
Sizes:  10,000 training images of Fashion-MNIST, 10,000 test images, 8 epochs
        (6 for the short arm), 8 seeds.

The learning rate of both was chosen on validation accuracy from the same grid
(0.02, 0.04, 0.08, 0.16, 0.32) with seed 100: 0.16 for both.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  config = "configs/optim/tract.py"
  return dict(
    arms=dict(
      ordinary=dict(config=config, set=("model.tract_ridge=None",)),
      tract=dict(config=config),
      tract_short=dict(config=config, set=("total_epochs=6",)),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 10000}",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.286,), "
      "'std': (0.353,)},)",
      "model={'name': 'convnet', 'widths': (16, 32), 'hidden': 128, "
      "'tract_ridge': 0.1}",
      "schedule.peak_lr=0.16",
      "total_epochs=8",
      "log_every_steps=10",
    ),
    seeds=tuple(range(8)),
    metric="test/accuracy",
    also=("val/accuracy", "train/loss@0.25", "time/seconds_per_step@1.0"),
    same_budget=False,
    claim="with 0.75 of the epochs, at least the ordinary accuracy",
  )
