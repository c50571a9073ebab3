"""Grokking: addition modulo 71 by a network with quadratic units.

Half of all pairs, full batch; the training set is memorised long before the
others come right, and only with weight decay. optimizer.name muon instead
makes the units learn different frequencies.

Run:    jaxcls train --config configs/core/li2_grokking.py --workdir DIR
Source: Provable Scaling Laws of Feature Emergence from Learning Dynamics of
  Grokking, 2025: moduli of 23 to 71, 256 to 1,024 hidden units, squares.
Ours:   experiments/core has modulus 23.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  del mode
  c = ml_collections.ConfigDict(dict(seed=0, total_steps=20000))
  # A third of the unseen pairs is val; the batch is all that is trained on,
  # but for what eight devices cannot share.
  c.batch_size = 2520
  c.scenario = dict(
    name="standard",
    source="group_addition",
    options=dict(moduli=(71,), train_fraction=0.6),
    val_fraction=0.1667,
  )
  c.model = dict(name="mlp", hidden=(1024,), activation="square", init=0.02)
  # Without biases, as in the theory: they start at 0 and stay there.
  c.trainable = "kernel"
  c.learner = dict(
    name="supervised",
    objective=dict(name="squared_error_loss", centred=True),
  )
  c.optimizer = dict(name="adamw", weight_decay=1.0)
  c.schedule = dict(name="constant", peak_lr=1e-3)
  c.evaluation = dict(metrics=("accuracy",), every_steps=500)
  return c
