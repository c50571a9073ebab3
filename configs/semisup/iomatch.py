"""IOMatch: open-set semi-supervised CIFAR-10, 6 known and 4 unknown classes.

Run:    jaxcls train --config configs/semisup/iomatch.py --workdir DIR
Source: Li et al. 2023, arXiv:2308.13168: batch 64, seven unlabelled images for
  one labelled, SGD with learning rate 0.03 (its trunk is a Wide ResNet-28-2).
Ours:   not run at this size.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  batch = 8 if smoke else 64
  weak = (dict(name="random_flip"), dict(name="random_crop", padding=4))
  c = ml_collections.ConfigDict(dict(seed=0, total_steps=2**18))
  c.batch_size = batch
  c.scenario = dict(
    name="semi_supervised",
    source="tfds:cifar10",
    labels_per_class=4,
    labeled_batch_size=batch,
    unlabeled_ratio=7,
    known_classes=(2, 3, 4, 5, 6, 7),
    weak=weak,
    strong=(*weak, dict(name="rand_augment", num_ops=2, magnitude=10)),
    preprocess=(
      dict(
        name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
      ),
    ),
  )
  c.model = dict(
    name="resnet",
    depth=10 if smoke else 18,
    width=8 if smoke else 32,
    heads=dict(
      projection=dict(width=128, hidden=(128,)),
      binary=dict(width=12, input="projection", bias=False),
      open=dict(width=7, input="projection"),
    ),
  )
  c.learner = dict(
    name="semi_supervised",
    open_set=True,
    soft_targets=True,
    alignment_queue=128,
    open_start_steps=1024,
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=5e-4)
  c.schedule = dict(name="cosine", peak_lr=0.03)
  c.evaluation = dict(
    metrics=("accuracy", "balanced_accuracy"),
    outputs=dict(open="open_logits"),
    every_steps=4096,
  )
  return c
