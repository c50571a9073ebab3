"""SCAFFOLD-M: federated averaging with momentum and control variates.

ResNet-18 with group norm on CIFAR-10 dealt to 10 clients.

Run:    jaxcls train --config configs/federated/fed_momentum.py --workdir DIR
Source: Cheng et al. 2023, arXiv:2306.16504: 10 clients, Dirichlet 0.5, beta
  0.1, local learning rate 0.01, 16 to 32 local steps.
Ours:   not run at this size; experiments/federated has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_steps=1000))
  # Eight clients a round: they split over the devices of a slice.
  c.batch_size = 8 if smoke else 8 * 16 * 32
  c.scenario = dict(
    name="federated",
    source="tfds:cifar10",
    num_clients=8,
    alpha=0.5,
    val_fraction=0.05,
    preprocess=(
      dict(
        name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
      ),
    ),
  )
  c.model = dict(name="resnet", depth=18, width=64, norm="group")
  if smoke:
    c.model = dict(name="convnet", widths=(8, 8), norm="group")
  c.learner = dict(
    name="federated",
    num_clients=8,
    local_steps=1 if smoke else 16,
    local_lr=0.01,
    beta=0.1,
    control_variates=True,
  )
  # The clients' learning rate is the learner's; no optimizer takes part.
  c.optimizer = dict(name="sgd")
  c.schedule = dict(name="constant", peak_lr=0.0)
  c.evaluation = dict(every_steps=50)
  return c
