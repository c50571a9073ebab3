"""Filters switched off by example, by rank, at random; Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/core/ftwt.py --workdir DIR
Then:   python experiments/core/ftwt_flops.py --runs DIR
Sizes:  9,500 training images at 14 pixels, 10,000 test images, ConvNet of
        widths 16, 32, 64, gates after the second and third stage; 6 epochs
        dense, then 6 of fine-tuning; 3 seeds.

The same learning rates in every arm, not tuned. The share of the mass, 0.9,
is that of (0.5, 0.6, 0.7, 0.8, 0.9) for which the dense network of seed 100
foresees a reduction nearest to 35 %: 45 %.
"""


def make_arm(rule, fixed="top", ratio=0.9, epochs=6) -> dict:
  """An arm: the rule that gates, the share of the mass, epochs with gates."""
  network = dict(name="convnet", widths=(16, 32, 64), hidden=None)
  schedule = lambda lr: dict(name="cosine", peak_lr=lr)
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
      learner=dict(name="filter_gates", ratio=ratio, fixed=fixed),
      schedule=schedule(0.001),
      total_epochs=epochs,
    ),
  )
  return dict(config="configs/core/ftwt.py", set=(f"phases={phases}",))


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  preprocess = (
    dict(name="resize", size=14),
    dict(name="normalize", mean=(0.286,), std=(0.353,)),
  )
  return dict(
    arms=dict(
      dense=make_arm("open"),
      predicted=make_arm("predicted"),
      static_top=make_arm("fixed"),
      static_random=make_arm("fixed", "random"),
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
    claim="predicted masks within 0.015 of the dense network at 35 % fewer "
    "FLOPs, 0.03 above random static masks and above static ranks",
  )
