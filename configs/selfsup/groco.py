"""GroCo: group ordering constraints, ResNet-50, ImageNet-1k, 100 epochs.

Two views; every positive is to be nearer than the 10 nearest negatives.

Run:    jaxcls train --config configs/selfsup/groco.py --workdir DIR
Source: Shvetsova et al. 2023, arXiv:2301.02009, released code (2 views, 100
  epochs, batch 1024, learning rate 0.75 * 1024 / 256). Its projection ends in
  a batch norm without parameters and its crops are bicubic; ours are not.
Ours:   not run at this size; experiments/selfsup has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  size, width = (32, 8) if smoke else (224, 64)
  colours = (
    dict(name="random_resized_crop", scale=(0.14, 1.0)),
    dict(name="random_flip"),
    dict(
      name="color_jitter", brightness=0.4, contrast=0.4, saturation=0.2,
      hue=0.1, probability=0.8,
    ),
    dict(name="random_grayscale", probability=0.2),
  )  # fmt: skip
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=100, batch_size=1024))
  c.scenario = dict(
    name="standard",
    source="tfds:imagenet2012",
    options=dict(image_size=size),
    test_split="validation",
    views=(
      (*colours, dict(name="gaussian_blur", probability=1.0)),
      (
        *colours,
        dict(name="gaussian_blur", probability=0.1),
        dict(name="solarize", probability=0.2),
      ),
    ),
    preprocess=(
      dict(
        name="normalize",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
      ),
    ),
  )
  encoder = dict(name="resnet", depth=50, width=width, stem="imagenet")
  if smoke:
    encoder = dict(name="convnet", widths=(8, 8))
  c.model = dict(
    **encoder,
    dtype="bfloat16",
    heads=dict(
      projection=dict(width=32 * width, hidden=(32 * width,) * 2, norm="batch")
    ),
  )
  c.learner = dict(
    name="contrastive",
    objective=dict(
      name="groco_loss", num_negatives=4 if smoke else 10, steepness=1.0
    ),
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=1e-6)
  c.schedule = dict(name="cosine", peak_lr=3.0, warmup_epochs=1)
  knn = dict(name="knn_probe", k=20)
  # 1,000 classes: the linear probe would be most of a smoke run.
  probes = (knn,) if smoke else (knn, dict(name="linear_probe"))
  c.evaluation = dict(metrics=(), probes=probes)
  return c
