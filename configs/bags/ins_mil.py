"""INS: a good instance classifier from bag labels, on bags of CIFAR-10.

Bags of 10 to 50 images; those with a truck are positive.

Run:    jaxcls train --config configs/bags/ins_mil.py --workdir DIR
Source: Qu et al. 2023, arXiv:2307.02249, has patches of slides; queue 8,192,
  averaged encoder 0.999, prototypes 0.9, pseudo-labels 0.95 to 0.8, SGD 0.01.
Ours:   not run at this size; experiments/bags has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  slots = 8 if smoke else 512
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=100))
  c.batch_size = slots
  view = (
    dict(name="random_resized_crop", scale=(0.4, 1.0), size=32),
    dict(name="random_flip"),
    dict(name="color_jitter", brightness=0.4, contrast=0.4, saturation=0.4),
  )
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
    views=(view, view),
    preprocess=(
      dict(
        name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
      ),
    ),
  )
  c.model = dict(
    name="resnet", depth=10 if smoke else 18, width=8 if smoke else 64,
    heads=dict(projection=dict(width=128, hidden=(512,))),
  )  # fmt: skip
  c.learner = dict(
    name="instance_classifier",
    num_examples=60_000,
    queue_size=2 * slots if smoke else 8192,
    warmup_steps=1 if smoke else 600,
    decay_steps=6000,
    contrastive_weight=0.5,
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=1e-4)
  c.schedule = dict(name="cosine", peak_lr=0.01)
  pool = lambda pooling: dict(name="bag_roc_auc", pooling=pooling)
  c.evaluation = dict(
    metrics=("roc_auc", pool("max"), pool("mean")),
    outputs=dict(test_bags="evidence", val_bags="evidence"),
  )
  return c
