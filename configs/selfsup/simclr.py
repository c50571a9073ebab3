"""SimCLR: NT-Xent, ResNet-50, ImageNet-1k, 100 epochs, batch 1024.

Run:    jaxcls train --config configs/selfsup/simclr.py --workdir DIR
Source: Chen et al. 2020, arXiv:2002.05709; the sizes, temperature, colours and
  learning rate (0.075 sqrt(batch), LARS) of the baseline of Shvetsova et al.
  2023, arXiv:2301.02009, released code.
Ours:   not run at this size; experiments/selfsup has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  size, width = (32, 8) if smoke else (224, 64)
  view = (
    dict(name="random_resized_crop", scale=(0.08, 1.0)),
    dict(
      name="color_jitter", brightness=0.8, contrast=0.8, saturation=0.8,
      hue=0.2, probability=0.8,
    ),
    dict(name="random_grayscale", probability=0.2),
    dict(name="gaussian_blur", sigma=(0.1, 2.0), probability=0.5),
    dict(name="random_flip"),
  )  # fmt: skip
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=100, batch_size=1024))
  c.scenario = dict(
    name="standard",
    source="tfds:imagenet2012",
    options=dict(image_size=size),
    test_split="validation",
    views=(view, view),
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
      projection=dict(width=128, hidden=(32 * width,) * 2, norm="batch")
    ),
  )
  c.learner = dict(
    name="contrastive", objective=dict(name="nt_xent_loss", temperature=0.1)
  )
  c.optimizer = dict(name="lars", momentum=0.9, weight_decay=1e-6)
  c.schedule = dict(name="cosine", peak_lr=2.4, warmup_epochs=10)
  knn = dict(name="knn_probe", k=20)
  # 1,000 classes: the linear probe would be most of a smoke run.
  probes = (knn,) if smoke else (knn, dict(name="linear_probe"))
  c.evaluation = dict(metrics=(), probes=probes)
  return c
