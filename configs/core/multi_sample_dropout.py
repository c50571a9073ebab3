"""Multi-sample dropout, ResNet-18 on CIFAR-100.

Eight masks on the features of one pass; the mean of the eight losses.

Run:    jaxcls train --config configs/core/multi_sample_dropout.py --workdir DIR
Source: Inoue 2019, arXiv:1905.09788 (its trunk is a plain 8-layer ConvNet).
Ours:   not run at this size; experiments/core has Fashion-MNIST and digits.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=100, batch_size=128))
  c.scenario = dict(
    name="standard",
    source="tfds:cifar100",
    val_fraction=0.05,
    augment=(dict(name="random_flip"), dict(name="random_crop", padding=4)),
    preprocess=(
      dict(
        name="normalize", mean=(0.507, 0.487, 0.441), std=(0.267, 0.256, 0.276)
      ),
    ),
  )
  c.model = dict(
    name="resnet", depth=10 if smoke else 18, width=8 if smoke else 64,
    dropout=0.5, dropout_samples=8,
  )  # fmt: skip
  c.learner = dict(name="supervised")
  c.optimizer = dict(name="adamw", weight_decay=0.05)
  c.schedule = dict(name="cosine", peak_lr=1e-3, warmup_epochs=1)
  c.evaluation = dict(metrics=("accuracy", "negative_log_likelihood"))
  return c
