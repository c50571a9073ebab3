"""CAFA: class-aware feature alignment at test time, CIFAR-10 corrupted.

Trains a ResNet-18, then meets each corruption at severity 5 in batches of 200.

Run:    jaxcls train --config configs/shift/cafa.py --workdir DIR
Source: Jung et al. 2022, arXiv:2206.00205: batch 200, one step a batch on the
  scales and biases of batch norm, learning rate 1e-3.
Ours:   not run at this size; experiments/shift has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  preprocess = (
    dict(
      name="normalize", mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262)
    ),
  )
  c = ml_collections.ConfigDict(dict(seed=0))
  c.model = dict(name="resnet", depth=18, width=64)
  if mode == "smoke":
    c.model = dict(name="convnet", widths=(8, 8))
  c.phases = (
    dict(
      name="source",
      scenario=dict(
        name="standard",
        source="tfds:cifar10",
        augment=(dict(name="random_flip"), dict(name="random_crop", padding=4)),
        preprocess=preprocess,
      ),
      learner=dict(name="supervised"),
      optimizer=dict(name="sgd", momentum=0.9, weight_decay=5e-4),
      schedule=dict(name="cosine", peak_lr=0.1),
      batch_size=128,
      total_epochs=100,
    ),
    dict(
      name="adapt",
      scenario=dict(
        name="test_time", source="tfds:cifar10", preprocess=preprocess
      ),
      learner=dict(
        name="test_time_adaptation", objective="class_aware_alignment_loss"
      ),
      trainable="norm",
      optimizer=dict(name="adam"),
      schedule=dict(name="constant", peak_lr=1e-3),
      batch_size=200,
      total_epochs=1,
    ),
  )
  return c
