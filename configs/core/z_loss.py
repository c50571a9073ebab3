"""Z-loss: a shift and scale invariant objective, ResNet-50 on ImageNet.

The published runs are word-level language models, whose 10,000 to 800,000
classes make the factored output layer (`ops.spherical_update`) worth while;
among 1,000 classes the layer is an ordinary one.

Run:    jaxcls train --config configs/core/z_loss.py --workdir DIR
Source: de Brebisson & Vincent 2016, arXiv:1604.08859 (a near 0.1, b of 10 to
  28 in its language models, tuned for each task).
Ours:   not run at this size; experiments/core has 5,000 synthetic classes.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=90, batch_size=1024))
  c.scenario = dict(
    name="standard",
    source="tfds:imagenet2012",
    options=dict(image_size=32 if smoke else 224),
    test_split="validation",
    val_fraction=0.01,
    augment=(dict(name="random_resized_crop"), dict(name="random_flip")),
    preprocess=(
      dict(
        name="normalize", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
      ),
    ),
  )
  c.model = dict(
    name="resnet",
    depth=10 if smoke else 50,
    width=4 if smoke else 64,
    stem="imagenet",
    head_init="lecun_normal",
    dtype="bfloat16",
  )
  c.learner = dict(
    name="supervised", objective=dict(name="z_loss", a=0.1, b=10.0)
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=1e-4)
  c.schedule = dict(name="cosine", peak_lr=0.4, warmup_epochs=5)
  c.evaluation = dict(metrics=("accuracy", dict(name="top_k_accuracy", k=5)))
  return c
