"""SMMix, DeiT-small on ImageNet.

Run:    jaxcls train --config configs/core/smmix.py --workdir DIR
Source: Chen et al. 2022, arXiv:2212.12977: DeiT's recipe (AdamW, learning rate
  1e-3 at batch 1024, 300 epochs) with CutMix replaced.
Ours:   not run at this size; experiments/core has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=300))
  c.batch_size = 1024
  c.scenario = dict(
    name="standard",
    source="tfds:imagenet2012",
    options=dict(image_size=32 if smoke else 224),
    test_split="validation",
    val_fraction=0.01,
    augment=(
      dict(name="random_resized_crop"),
      dict(name="random_flip"),
      dict(name="rand_augment", num_ops=2, magnitude=9.0),
      dict(name="random_erasing", probability=0.25),
    ),
    preprocess=(
      dict(
        name="normalize", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
      ),
    ),
  )
  c.model = dict(
    name="vit",
    variant="mu/4" if smoke else "S/16",
    pool="cls",
    drop_path=0.1,
    remat="cheap",
    dtype="bfloat16",
    return_attention=True,
    heads=dict(token_logits=dict(width=1000, input="tokens")),
  )
  c.learner = dict(name="attention_mixing", probability=0.5, mixup_alpha=0.8)
  c.workers = 0 if smoke else 16
  c.optimizer = dict(name="adamw", weight_decay=0.05)
  c.schedule = dict(name="cosine", peak_lr=1e-3, warmup_epochs=5)
  return c
