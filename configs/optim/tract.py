"""TrAct on the first layer, ResNet-18 on CIFAR-10.

Run:    jaxcls train --config configs/optim/tract.py --workdir DIR
Source: Petersen et al. 2024, arXiv:2410.23970: lambda 0.1, SGD with
  learning rate 0.08, cosine, 100 to 800 epochs.
Ours:   not run at this size; experiments/optim has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=100, batch_size=128))
  c.scenario = dict(
    name="standard",
    source="tfds:cifar10",
    val_fraction=0.05,
    augment=(dict(name="random_flip"), dict(name="random_crop", padding=4)),
    preprocess=(
      dict(
        name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
      ),
    ),
  )
  c.model = dict(
    name="resnet",
    depth=10 if smoke else 18,
    width=8 if smoke else 64,
    tract_ridge=0.1,
  )
  c.learner = dict(name="supervised")
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=5e-4)
  c.schedule = dict(name="cosine", peak_lr=0.08)
  c.evaluation = dict(metrics=("accuracy", "negative_log_likelihood"))
  return c
