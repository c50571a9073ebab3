"""Decoupled mixup, ResNet-18 on CIFAR-100.

Mixup with two terms more, one for each mixed class without the other.

Run:    jaxcls train --config configs/core/decoupled_mixup.py --workdir DIR
Source: Liu et al. 2022, arXiv:2203.10761 (alpha 1, eta 0.1; openmixup: SGD
  with learning rate 0.1, batch 100, 800 epochs).
Ours:   not run at this size; experiments/core has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=800, batch_size=100))
  c.scenario = dict(
    name="standard",
    source="tfds:cifar100",
    val_fraction=0.05,
    augment=(
      dict(name="random_flip"),
      dict(name="random_crop", padding=4, mode="reflect"),
    ),
    preprocess=(
      dict(
        name="normalize", mean=(0.507, 0.487, 0.441), std=(0.267, 0.256, 0.276)
      ),
    ),
  )
  c.model = dict(
    name="resnet", depth=10 if smoke else 18, width=8 if smoke else 64
  )
  c.learner = dict(
    name="supervised",
    objective=dict(name="decoupled_mixup_loss", eta=0.1),
    mixing=dict(name="mixup", alpha=1.0),
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=1e-4)
  c.schedule = dict(name="cosine", peak_lr=0.1)
  c.evaluation = dict(metrics=("accuracy", "negative_log_likelihood"))
  return c
