"""TEEN: prototype calibration, few-shot class-incremental CIFAR-100.

Run:    jaxcls train --config configs/incremental/teen.py --workdir DIR
Source: Wang et al. 2023, arXiv:2312.05229: 60 base classes, then 8 sessions of
  5-way 5-shot; 100 epochs of SGD with learning rate 0.1; tau 16, alpha 0.5
  (0.1 for CIFAR-100 in the released script).
Ours:   not run at this size; experiments/incremental has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=100, batch_size=128))
  c.scenario = dict(
    name="class_incremental",
    source="tfds:cifar100",
    task_sizes=(60,) + (5,) * 8,
    shots=1 if smoke else 5,
    later_play="fit",
    augment=(dict(name="random_flip"), dict(name="random_crop", padding=4)),
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
    cosine_scale=16.0,
  )
  c.learner = dict(name="prototype_classifier", tau=16.0, alpha=0.5)
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=5e-4)
  c.schedule = dict(name="cosine", peak_lr=0.1)
  c.evaluation = dict(
    metrics=(
      "accuracy",
      "task_accuracy",
      "base_class_accuracy",
      "novel_class_accuracy",
      "novel_as_base_rate",
      "base_as_novel_rate",
    )
  )
  return c
