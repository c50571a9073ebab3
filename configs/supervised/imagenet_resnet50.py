"""ResNet-50 on ImageNet-1k at 224 pixels, batch 4096, 90 epochs.

Run:    jaxcls train --config <this file>[:smoke] --workdir <dir>
Fits:   jaxcls preflight --config <this file> --target v5e:16x16
Source: learning rate 0.1 for each 256 examples, 5 epochs of warm-up, momentum,
  zero last scales: Goyal et al. 2017, arXiv:1706.02677. Cosine, label
  smoothing, no decay of biases and norms: He et al. 2019, arXiv:1812.01187.
Ours:   not run yet.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=90, batch_size=4096))
  c.scenario = dict(
    name="standard",
    source="tfds:imagenet2012",
    options=dict(image_size=32 if smoke else 224),
    test_split="validation",
    val_fraction=0.01,
    augment=(
      dict(name="random_resized_crop", scale=(0.08, 1.0)),
      dict(name="random_flip"),
    ),
    preprocess=(
      dict(
        name="normalize",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
      ),
    ),
  )
  c.model = dict(
    name="resnet",
    depth=10 if smoke else 50,
    width=8 if smoke else 64,
    stem="imagenet",
    dtype="bfloat16",
  )
  c.learner = dict(
    name="supervised",
    objective="soft_cross_entropy_loss",
    label_smoothing=0.1,
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=1e-4)
  c.schedule = dict(name="cosine", peak_lr=1.6, warmup_epochs=5)
  c.evaluation = dict(
    metrics=("accuracy", "negative_log_likelihood"), every_epochs=10
  )
  c.mesh = dict(data=-1, fsdp=1)
  c.workers = 0 if smoke else 16
  return c
