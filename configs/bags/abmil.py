"""ABMIL: attention-based pooling of bags of CIFAR-10.

Bags of 10 to 50 images; those with a truck are positive.

Run:    jaxcls train --config configs/bags/abmil.py --workdir DIR
Source: Ilse et al. 2018, arXiv:1802.04712 (bags of MNIST and of patches).
Ours:   not run at this size; experiments/bags has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  slots = 8 if smoke else 512
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=100))
  c.batch_size = slots
  c.scenario = dict(
    name="bags",
    source="tfds:cifar10",
    positive_class=9,
    train_bags=6 if smoke else 1000,
    test_bags=4 if smoke else 200,
    val_bags=2 if smoke else 50,
    bags_per_step=2 if smoke else 8,
    sizes=(3, 4) if smoke else (10, 50),
    positive_rate=0.2,
    augment=(dict(name="random_flip"), dict(name="random_crop", padding=4)),
    preprocess=(
      dict(
        name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
      ),
    ),
  )
  c.model = dict(
    name="resnet", depth=10 if smoke else 18, width=8 if smoke else 64,
    heads=dict(attention=dict(width=1, hidden=(128,))),
  )  # fmt: skip
  c.learner = dict(name="bag_classifier", pooling="attention")
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=1e-4)
  c.schedule = dict(name="cosine", peak_lr=0.01)
  c.evaluation = dict(
    metrics=("roc_auc", dict(name="bag_roc_auc", pooling="attention")),
    outputs=dict(test_bags="evidence", val_bags="evidence"),
  )
  return c
