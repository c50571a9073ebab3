"""Self-supervised label augmentation, ResNet-18 of half width on CIFAR-100.

Four rotations of every image; one head tells class and rotation, the model's
own learns from their aggregate (SLA+SD). test is judged by the single pass;
evaluation.outputs asks for the aggregate instead (SLA+AG).

Run:    jaxcls train --config configs/core/sla.py --workdir DIR
Source: Lee et al. 2020, arXiv:1910.05872 (SGD with learning rate 0.1, batch
  128, 80,000 steps; its network is a ResNet-32, its schedule falls by tenths).
Ours:   not run at this size; experiments/core has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_steps=80_000))
  c.batch_size = 128
  c.scenario = dict(
    name="standard",
    source="tfds:cifar100",
    val_fraction=0.1,
    augment=(dict(name="random_flip"), dict(name="random_crop", padding=4)),
    preprocess=(
      dict(
        name="normalize", mean=(0.507, 0.487, 0.441), std=(0.267, 0.256, 0.276)
      ),
    ),
  )
  c.model = dict(
    name="resnet",
    depth=10 if smoke else 18,
    width=4 if smoke else 32,
    heads=dict(joint=dict(width=400)),
  )
  c.learner = dict(
    name="label_augmentation", transformations=("rotations",), distill=True
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=1e-4)
  c.schedule = dict(name="cosine", peak_lr=0.1)
  return c
