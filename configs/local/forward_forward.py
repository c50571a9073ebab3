"""Forward-forward: layers that learn from their own activations; CIFAR-10.

Run:    jaxcls train --config configs/local/forward_forward.py --workdir DIR
Source: Hinton 2022, arXiv:2212.13345 (its CIFAR-10 networks have local
  receptive fields; this one is fully connected).
Ours:   not run at this size; experiments/local has MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=100, batch_size=128))
  c.scenario = dict(name="standard", source="tfds:cifar10", val_fraction=0.05)
  c.model = dict(name="mlp", hidden=(16, 16) if smoke else (2000, 2000, 2000))
  c.learner = dict(name="forward_forward", threshold=2.0)
  c.optimizer = dict(name="adam")
  c.schedule = dict(name="cosine", peak_lr=1e-3)
  return c
