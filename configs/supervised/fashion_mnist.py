"""A ConvNet chosen for CPUs on Fashion-MNIST.

Run:    jaxcls train --config configs/supervised/fashion_mnist.py --workdir DIR
Source: the data set is Xiao et al. 2017, arXiv:1708.07747.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  del mode
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=8, batch_size=256))
  c.scenario = dict(
    name="standard",
    source="fashion_mnist",
    val_fraction=0.05,
    augment=(
      dict(name="random_flip"),
      dict(name="random_crop", padding=2),
    ),
    preprocess=(dict(name="normalize", mean=(0.286,), std=(0.353,)),),
  )
  c.model = dict(name="convnet", widths=(32, 64), hidden=256, dropout=0.3)
  c.learner = dict(name="supervised", objective="cross_entropy_loss")
  c.optimizer = dict(name="adamw", weight_decay=0.02)
  c.schedule = dict(name="cosine", peak_lr=4e-3, warmup_epochs=1)
  c.evaluation = dict(
    metrics=(
      "accuracy",
      "negative_log_likelihood",
      "expected_calibration_error",
      "macro_f1",
    ),
    every_epochs=2,
  )
  return c
