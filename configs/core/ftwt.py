"""FTWT: filters switched off by example, ResNet-18 on CIFAR-10.

A dense network first; then small predictors learn from its own activations
which filters of a stage an image needs, and the network is fine-tuned with the
others off. learner.fixed "top" or "random" with model.gates.rule "fixed" are
the static baselines.

Run:    jaxcls train --config configs/core/ftwt.py --workdir DIR
Source: Elkerdawy et al. 2021, arXiv:2110.08232 (gates at every layer; here
  after each of the last three stages).
Ours:   not run at this size; experiments/core has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  network = dict(
    name="resnet", depth=10 if smoke else 18, width=4 if smoke else 64
  )
  taps = ("stage2", "stage3", "stage4")
  c = ml_collections.ConfigDict(dict(seed=0, batch_size=128))
  c.scenario = dict(
    name="standard",
    source="tfds:cifar10",
    val_fraction=0.02,
    augment=(
      dict(name="random_flip"),
      dict(name="random_crop", padding=4, mode="reflect"),
    ),
    preprocess=(
      dict(
        name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
      ),
    ),
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=5e-4)
  c.phases = (
    dict(
      name="dense",
      model=network,
      learner=dict(name="supervised"),
      schedule=dict(name="cosine", peak_lr=0.1),
      total_epochs=200,
    ),
    dict(
      name="gated",
      model=dict(**network, gates=dict(taps=taps, rule="predicted")),
      learner=dict(name="filter_gates", ratio=0.8),
      schedule=dict(name="cosine", peak_lr=0.01),
      total_epochs=200,
    ),
  )
  return c
