"""Lion: the sign of an interpolated momentum, ViT-B/16 on ImageNet.

The program that the search found runs as optimizer.name scale_by_program.

Run:    jaxcls train --config configs/optim/lion.py --workdir DIR
Source: Chen et al. 2023, arXiv:2302.06675: batch 4,096, 300 epochs, learning
  rate 3e-4 and weight decay 1 (AdamW 3e-3 and 0.1), betas 0.9 and 0.99.
Ours:   not run at this size; experiments/optim has Fashion-MNIST.
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
    augment=(dict(name="random_resized_crop"), dict(name="random_flip")),
    preprocess=(
      dict(name="normalize", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    ),
  )
  c.model = dict(
    name="vit", variant="mu/16" if smoke else "B/16", dtype="bfloat16"
  )
  c.learner = dict(name="supervised")
  c.optimizer = dict(
    name="lion", b1=0.9, b2=0.99, weight_decay=1.0, clip_norm=1.0
  )
  c.schedule = dict(name="cosine", peak_lr=3e-4, warmup_steps=10000)
  c.evaluation = dict(metrics=("accuracy",))
  return c
