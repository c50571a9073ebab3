"""Annealed gradient noise, a 20-layer network on MNIST, poor initialisation.

Run:    jaxcls train --config configs/optim/gradient_noise.py --workdir DIR
Source: Neelakantan et al. 2015, arXiv:1511.06807: 20 ReLU layers of
  50 units, "simple" initialisation N(0, 0.1^2), SGD without momentum.
Ours:   not run at this size; experiments/optim has 5,000 images of it.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  del mode
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=20, batch_size=64))
  c.scenario = dict(
    name="standard",
    source="tfds:mnist",
    val_fraction=0.05,
    preprocess=(dict(name="normalize", mean=(0.131,), std=(0.308,)),),
  )
  c.model = dict(name="mlp", hidden=(50,) * 20, init=0.1)
  c.learner = dict(name="supervised")
  c.optimizer = dict(
    name="sgd",
    clip_norm=10.0,
    transforms=(dict(name="add_gradient_noise", eta=0.01, gamma=0.55),),
  )
  c.schedule = dict(name="constant", peak_lr=0.1)
  return c
