"""FixMatch: semi-supervised CIFAR-10 with 4 labels a class.

Run:    jaxcls train --config configs/semisup/fixmatch.py --workdir DIR
Source: Sohn et al. 2020, arXiv:2001.07685: batch 64, seven unlabelled images
  for one labelled, threshold 0.95, SGD with learning rate 0.03, 2^20 steps.
Ours:   not run at this size.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  batch = 8 if smoke else 64
  weak = (dict(name="random_flip"), dict(name="random_crop", padding=4))
  c = ml_collections.ConfigDict(dict(seed=0, total_steps=2**20))
  c.batch_size = batch
  c.scenario = dict(
    name="semi_supervised",
    source="tfds:cifar10",
    labels_per_class=4,
    labeled_batch_size=batch,
    unlabeled_ratio=7,
    weak=weak,
    strong=(
      *weak,
      dict(name="rand_augment", num_ops=2, magnitude=10),
      dict(name="cutout", size=16),
    ),
    preprocess=(
      dict(
        name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
      ),
    ),
  )
  c.model = dict(
    name="resnet", depth=10 if smoke else 18, width=8 if smoke else 32
  )
  c.learner = dict(name="semi_supervised")
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=5e-4)
  c.schedule = dict(name="cosine", peak_lr=0.03)
  c.evaluation = dict(metrics=("accuracy",), every_steps=4096)
  return c
