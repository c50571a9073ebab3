"""Dataset condensation with contrastive signals, CIFAR-10, 10 images a class.

Run:    jaxcls train --config configs/meta/dcc.py --workdir DIR
Source: Lee et al. 2022, arXiv:2202.02916, released code: 1,000 outer rounds,
  inner loop 10, 50 steps of the network between, 256 real images a class;
  class-wise matching for the first 250 rounds.
Ours:   not run at this size; experiments/meta has digits and MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_steps=10_000))
  c.batch_size = 20 if smoke else 2560
  c.scenario = dict(
    name="standard",
    source="tfds:cifar10",
    sampler=dict(
      name="episodic_plan", way=10, shot=1 if smoke else 255, query=1
    ),
    preprocess=(
      dict(
        name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
      ),
    ),
  )
  c.model = dict(
    name="convnet",
    widths=(128, 128, 128),
    hidden=None,
    flatten=True,
    pool="average",
    norm="instance",
  )
  if smoke:
    c.model = dict(name="mlp", hidden=(8,))
  c.learner = dict(
    name="condense",
    images_per_class=1 if smoke else 10,
    contrastive=True,
    outer_warmup=250,
    inner_warmup=10,
    inner_steps=10,
    net_steps=2 if smoke else 50,
    net_lr=0.01,
    image_lr=0.1,
    final_steps=5 if smoke else 300,
  )
  # The images' and the network's rates are the learner's.
  c.optimizer = dict(name="sgd")
  c.schedule = dict(name="constant", peak_lr=0.0)
  return c
