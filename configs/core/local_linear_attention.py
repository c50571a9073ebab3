"""A ViT with local linear attention, S/16 on ImageNet.

Every query fits a line to the values about it, where softmax attention takes
their mean; the ridge of each head is learned.

Run:    jaxcls train --config configs/core/local_linear_attention.py \
            --workdir DIR
Source: Local Linear Attention, 2025 (the paper's tasks are sequences; no
  settings for images; those of ViT-S/16 are Steiner et al. 2021,
  arXiv:2106.10270).
Ours:   not run at this size; experiments/core has regression at test time.
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
      dict(name="normalize", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    ),
  )
  c.model = dict(
    name="vit",
    variant="mu/16" if smoke else "S/16",
    local_linear_ridge=1.0,
    remat="none" if smoke else "cheap",
    dtype="bfloat16",
  )
  c.learner = dict(name="supervised")
  c.optimizer = dict(name="adamw", weight_decay=0.1, clip_norm=1.0)
  c.schedule = dict(name="cosine", peak_lr=1e-3, warmup_steps=10000)
  c.evaluation = dict(metrics=("accuracy",))
  return c
