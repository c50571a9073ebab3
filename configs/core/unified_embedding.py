"""Unified embedding: one hashed table for all categorical features.

Run:    jaxcls train --config configs/core/unified_embedding.py --workdir DIR
Source: Coleman et al. 2023, arXiv:2305.12102. The published data (Criteo,
  Avazu, MovieLens) are not fetched here: give them as csv:<path>; this config
  has made-up clicks of the same kind.
Ours:   experiments/core compares it with a hashed table for each feature.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=2, batch_size=512))
  c.scenario = dict(
    name="standard",
    source="clicks",
    options=dict(num_examples=1000 if smoke else 1_000_000),
    val_fraction=0.05,
  )
  c.model = dict(
    name="embedding_mlp",
    rows=64 if smoke else 100_000,
    width=16,
    lookups=2,
    hidden=(256, 256),
  )
  c.learner = dict(name="supervised")
  c.optimizer = dict(name="adam")
  c.schedule = dict(name="cosine", peak_lr=1e-3)
  c.evaluation = dict(metrics=("accuracy", "roc_auc"))
  return c
