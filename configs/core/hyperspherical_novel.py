"""Normalised softmax for novel classes: 80 + 20 classes of CIFAR-100.

A unit embedding is trained on 80 classes by cross-entropy of scaled cosines;
the 20 others get the mean of 20 examples each as a template. Triplet and
contrastive losses are the same config with another learner.objective.

Run:    jaxcls train --config configs/core/hyperspherical_novel.py --workdir DIR
Source: Pereira et al. 2021, arXiv:2102.03243; the normalised softmax is of Wang
  et al. 2017, arXiv:1704.06369. Network, length and optimiser are ours.
Ours:   not run at this size; experiments/core has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=100, batch_size=128))
  c.scenario = dict(
    name="class_incremental",
    source="tfds:cifar100",
    task_sizes=(80, 20),
    shots=1 if smoke else 20,
    later_play="fit",
    augment=(dict(name="random_crop", padding=4), dict(name="random_flip")),
    preprocess=(
      dict(
        name="normalize", mean=(0.507, 0.487, 0.441), std=(0.267, 0.256, 0.276)
      ),
    ),
  )
  c.model = dict(
    name="resnet",
    depth=10 if smoke else 18,
    width=8 if smoke else 64,
    heads=dict(
      embedding=dict(width=128, unit_norm=True),
      cosines=dict(input="embedding", width=100, cosine_scale=16.0),
    ),
  )
  c.learner = dict(
    name="embedding_classifier",
    objective="cross_entropy_loss",
    embedding="embedding",
    scores="cosines",
  )
  c.optimizer = dict(name="adamw", weight_decay=1e-4)
  c.schedule = dict(name="cosine", peak_lr=0.001)
  c.evaluation = dict(
    metrics=(
      "accuracy",
      "base_class_accuracy",
      "novel_class_accuracy",
      "task_aware_accuracy",
    )
  )
  return c
