"""A small ConvNet on scikit-learn's digits: 8x8 images, 10 classes.

Run:    jaxcls train --config configs/quickstart.py --workdir runs/quickstart
Source: the data set is Alpaydin & Kaynak 1998, UCI optical digits.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  del mode
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=40, batch_size=64))
  c.scenario = dict(
    name="standard",
    source="digits",
    val_fraction=0.1,
    augment=(dict(name="random_crop", padding=1),),
  )
  c.model = dict(name="convnet", widths=(32, 64), hidden=128)
  c.learner = dict(name="supervised", objective="cross_entropy_loss")
  c.optimizer = dict(name="adamw", weight_decay=1e-4)
  c.schedule = dict(name="cosine", peak_lr=3e-3, warmup_epochs=2)
  c.evaluation = dict(
    metrics=("accuracy", "negative_log_likelihood"), every_epochs=5
  )
  return c
