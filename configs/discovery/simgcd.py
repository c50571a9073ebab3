"""SimGCD: generalised category discovery, CIFAR-10, 5 old and 5 new classes.

The body's last block, the projection and the prototypes are trained.

Run:    jaxcls train --config configs/discovery/simgcd.py --workdir DIR
Source: Wen et al. 2023, arXiv:2211.11727, released code: a
  ViT-B/16 pretrained by DINO (give that run as init_from), batch 128, SGD with
  learning rate 0.1, 200 epochs. Its projection has GELUs and it is tested on
  the centre of the image; ours has ReLUs and takes the whole image.
Ours:   not run at this size; experiments/discovery has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  size = 32 if smoke else 224
  # A crop of 224 pixels out of 256, as one resize.
  view = (
    dict(
      name="random_resized_crop", scale=(0.766, 0.766), ratio=(1.0, 1.0),
      size=size,
    ),
    dict(name="random_flip"),
  )  # fmt: skip
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=200))
  c.batch_size = 8 if smoke else 128
  c.scenario = dict(
    name="discovery",
    source="tfds:cifar10",
    old_classes=(0, 1, 2, 3, 4),
    labeled_fraction=0.5,
    views=(view, view),
    preprocess=(
      dict(name="resize", size=size),
      dict(
        name="normalize",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
      ),
    ),
  )
  c.model = dict(
    name="vit",
    variant="mu/16" if smoke else "B/16",
    pool="cls",
    cosine_scale=1.0,
    dtype="bfloat16",
    heads=dict(
      projection=dict(width=256, hidden=(64, 64) if smoke else (2048, 2048))
    ),
  )
  c.trainable = "^(block0|head|heads)/" if smoke else "^(block11|head|heads)/"
  c.learner = dict(
    name="discovery",
    teacher_start=0.07,
    teacher_end=0.04,
    # 30 epochs of 50,000 images in batches of 128.
    teacher_ramp_steps=11_719,
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=1e-4)
  c.schedule = dict(name="cosine", peak_lr=0.1)
  c.evaluation = dict(
    metrics=(
      "clustering_accuracy",
      "old_clustering_accuracy",
      "new_clustering_accuracy",
    )
  )
  return c
