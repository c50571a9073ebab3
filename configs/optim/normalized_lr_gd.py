"""Normalised logistic regression by gradient descent, digits.

A linear classifier, the whole training set in every step, a constant learning
rate: rows weigh by their share of the misfit, so the steps do not fade as the
data separate. cross_entropy_loss in its place is logistic regression.

Run:    jaxcls train --config configs/optim/normalized_lr_gd.py --workdir DIR
Source: Tyurin 2024, arXiv:2412.08424 (two classes, full batch).
Ours:   experiments/optim has pairs of digits and the worst case.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  del mode
  c = ml_collections.ConfigDict(dict(seed=0, total_steps=500, batch_size=1436))
  c.scenario = dict(name="standard", source="digits")
  c.model = dict(name="mlp", hidden=())
  c.learner = dict(name="supervised", objective="misfit_normalized_loss")
  c.optimizer = dict(name="sgd")
  c.schedule = dict(name="constant", peak_lr=1.0)
  c.evaluation = dict(metrics=("accuracy",))
  return c
