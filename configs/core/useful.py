"""USEFUL: upsampling what is learned late, ResNet-18, CIFAR-10.

8 epochs of warm-up; every class is split in two by the warm-up's outputs; then
200 epochs from scratch in which the slow half comes twice. Random upsampling
and none are the same config with learner.choose "random" and "none" in the
second phase; SAM is learner.base.gradient.

Run:    jaxcls train --config configs/core/useful.py --workdir DIR
Source: Nguyen et al. 2024, arXiv:2404.17768: batch 128, SGD with learning rate
  0.1, momentum 0.9 and weight decay 5e-4; SAM with radius 0.1.
Ours:   not run at this size; experiments/core has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=200, batch_size=128))
  c.scenario = dict(
    name="standard",
    source="tfds:cifar10",
    augment=(dict(name="random_crop", padding=4), dict(name="random_flip")),
    preprocess=(
      dict(
        name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
      ),
    ),
  )
  c.model = dict(
    name="resnet", depth=10 if smoke else 18, width=8 if smoke else 64
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=5e-4)
  c.schedule = dict(name="cosine", peak_lr=0.1)
  c.phases = (
    dict(
      name="warmup",
      total_epochs=8,
      learner=dict(name="supervised"),
      schedule=dict(name="constant", peak_lr=0.1),
      evaluation=dict(metrics=()),
    ),
    dict(
      name="train",
      learner=dict(
        name="upsampled",
        base=dict(name="supervised"),
        num_examples=50000,
        choose="slow",
      ),
    ),
  )
  return c
