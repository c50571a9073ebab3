"""NoProp-FM: one block learns the flow from noise to the label; CIFAR-10.

Run:    jaxcls train --config configs/local/noprop_fm.py --workdir DIR
Source: Li et al. 2025, arXiv:2503.24322: AdamW 1e-3, batch 128, 1,000 steps
  in prediction.
Ours:   not run at this size; experiments/local has MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=150, batch_size=128))
  c.scenario = dict(
    name="standard",
    source="tfds:cifar10",
    val_fraction=0.05,
    preprocess=(
      dict(
        name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
      ),
    ),
  )
  c.model = dict(
    name="label_denoiser",
    process="flow",
    steps=2 if smoke else 1000,
    trunk=dict(
      name="convnet", widths=(4,) if smoke else (32, 64, 128), hidden=256
    ),
  )
  c.trainable = "^(?!embedding$)"
  c.learner = dict(name="no_prop")
  c.optimizer = dict(name="adamw", weight_decay=1e-3)
  c.schedule = dict(name="constant", peak_lr=1e-3)
  return c
