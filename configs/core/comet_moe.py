"""COMET: a mixture of experts whose gate is a set of soft trees.

8 experts, 2 trees, entropy of the trees' leaves as a penalty; a permutation of
the experts is learned in the first steps and then hardened (COMET+; without it:
model.search_steps 0). model.gate "top_k" and "hash" are the baselines; their
learner has no regularizers.

Run:    jaxcls train --config configs/core/comet_moe.py --workdir DIR
Source: Ibrahim et al. 2023, arXiv:2306.02824: 5 to 16 experts, k = 2 to 4,
  Adam; temperature 1e-3 to 1e-7. The published data (MovieLens, Multi-MNIST,
  Jester, Books) are not fetched here: the data are made up, linear rules that
  hold for groups of ids.
Ours:   experiments/core has 4,000 examples.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=20, batch_size=512))
  c.scenario = dict(
    name="standard",
    source="piecewise",
    options=dict(num_ids=64, num_functions=8, num_examples=100_000),
    val_fraction=0.05,
  )
  c.model = dict(
    name="mixture_of_experts",
    num_experts=4 if smoke else 8,
    hidden=(8,) if smoke else (64,),
    gate="comet",
    k=2,
    gamma=1.0,
    search_steps=1 if smoke else 400,
  )
  c.learner = dict(
    name="supervised",
    regularizers=(dict(name="entropy", output="log_paths", weight=0.1),),
  )
  c.optimizer = dict(name="adam")
  c.schedule = dict(name="cosine", peak_lr=3e-3)
  return c
