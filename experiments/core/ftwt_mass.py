"""As ftwt.py, with other shares of the mass.

Run:    jaxcls compare --experiment experiments/core/ftwt_mass.py --workdir DIR
Then:   python experiments/core/ftwt_flops.py --runs DIR
Sizes:  those of ftwt.py; shares 0.8 and 0.95 of the mass in place of 0.9, and
        with 0.9 the double of the fine-tuning, 12 epochs; 3 seeds.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  network = dict(name="convnet", widths=(16, 32, 64), hidden=None)
  schedule = lambda lr: dict(name="cosine", peak_lr=lr)

  def arm(rule, ratio=0.9, epochs=6):
    gates = dict(taps=("stage2", "stage3"), rule=rule)
    phases = (
      dict(
        name="dense",
        model=network,
        learner=dict(name="supervised"),
        schedule=schedule(0.003),
        total_epochs=6,
      ),
      dict(
        name="gated",
        model=dict(network, gates=gates),
        learner=dict(name="filter_gates", ratio=ratio),
        schedule=schedule(0.001),
        total_epochs=epochs,
      ),
    )
    return dict(config="configs/core/ftwt.py", set=(f"phases={phases}",))

  preprocess = (
    dict(name="resize", size=14),
    dict(name="normalize", mean=(0.286,), std=(0.353,)),
  )
  return dict(
    arms=dict(
      dense=arm("open"),
      dense_long=arm("open", epochs=12),
      predicted_80=arm("predicted", 0.8),
      predicted_95=arm("predicted", 0.95),
      predicted_long=arm("predicted", epochs=12),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.val_fraction=0.05",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 9500}",
      "scenario.augment=()",
      f"scenario.preprocess={preprocess}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.0001}",
    ),
    seeds=(0, 1, 2),
    metric="test/accuracy",
    also=("train/kept_filters@1.0",),
    same_budget=False,
    claim="some share of the mass saves 35 % of the FLOPs within 0.015 of the "
    "dense network",
  )
