"""A small ViT on Fashion-MNIST: 49 tokens of 4x4 pixels.

Run:    jaxcls train --config configs/supervised/fashion_mnist_vit.py
        --workdir DIR
Source: Dosovitskiy et al. 2021, arXiv:2010.11929; the size is ours.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  del mode
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=5, batch_size=256))
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
  c.model = dict(name="vit", variant="mu/4", width=96, depth=3, num_heads=3)
  c.learner = dict(name="supervised", objective="cross_entropy_loss")
  c.optimizer = dict(name="adamw", weight_decay=0.05, clip_norm=1.0)
  c.schedule = dict(name="cosine", peak_lr=2e-3, warmup_epochs=1)
  c.evaluation = dict(
    metrics=("accuracy", "negative_log_likelihood"), every_epochs=2
  )
  return c
