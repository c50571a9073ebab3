"""ViT-B/16 on ImageNet-1k at 224 pixels, from scratch, 300 epochs.

Run:    jaxcls train --config <this file>[:smoke] --workdir <dir>
Fits:   jaxcls preflight --config <this file> --target v5e:16x16
Source: optimiser, batch, length and warm-up: Dosovitskiy et al. 2021,
  arXiv:2010.11929, table 3 (ImageNet). RandAugment, mixup, pooling, positions
  and no dropout: Beyer et al. 2022, arXiv:2205.01580, who train ViT-S/16.
Ours:   not run yet.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=300, batch_size=4096))
  c.scenario = dict(
    name="standard",
    source="tfds:imagenet2012",
    options=dict(image_size=32 if smoke else 224),
    test_split="validation",
    val_fraction=0.01,
    augment=(
      dict(name="random_resized_crop", scale=(0.05, 1.0)),
      dict(name="random_flip"),
      dict(name="rand_augment", num_ops=2, magnitude=10.0),
    ),
    preprocess=(dict(name="normalize", mean=(0.5,), std=(0.5,)),),
  )
  c.model = dict(
    name="vit",
    variant="mu/16" if smoke else "B/16",
    pool="gap",
    positions="sincos2d",
    scan_blocks=True,
    remat="cheap",
    dtype="bfloat16",
  )
  c.learner = dict(
    name="supervised",
    objective="soft_cross_entropy_loss",
    mixing=dict(name="mixup", alpha=0.2),
  )
  c.optimizer = dict(name="adamw", b2=0.999, weight_decay=0.3, clip_norm=1.0)
  c.schedule = dict(name="cosine", peak_lr=3e-3, warmup_steps=10_000)
  c.evaluation = dict(
    metrics=("accuracy", "negative_log_likelihood"), every_epochs=10
  )
  c.mesh = dict(data=-1, fsdp=1)
  c.workers = 0 if smoke else 16
  return c
