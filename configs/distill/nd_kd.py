"""KD++: distillation with feature norm and direction, CIFAR-100.

A ResNet-34 is trained, then a ResNet-18 of half its width learns from it; a
linear head brings the student's features to the teacher's width.

Run:    jaxcls train --config configs/distill/nd_kd.py --workdir DIR
Source: Wang et al. 2023, arXiv:2305.17007: T 4, weights 1 and 2, 240 epochs of
  SGD with learning rate 0.1, batch 64 (its pairs of networks differ).
Ours:   not run at this size; experiments/distill has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  teacher = dict(name="resnet", depth=34, width=64)
  student = dict(
    name="resnet",
    depth=18,
    width=32,
    heads=dict(projection=dict(width=512, bias=False)),
  )
  if mode == "smoke":
    teacher = dict(name="convnet", widths=(4, 8), hidden=16)
    student = dict(
      name="convnet",
      widths=(4, 4),
      hidden=8,
      heads=dict(projection=dict(width=16, bias=False)),
    )
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=240, batch_size=64))
  c.scenario = dict(
    name="standard",
    source="tfds:cifar100",
    val_fraction=0.05,
    augment=(dict(name="random_flip"), dict(name="random_crop", padding=4)),
    preprocess=(
      dict(
        name="normalize", mean=(0.507, 0.487, 0.441), std=(0.267, 0.256, 0.276)
      ),
    ),
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=5e-4)
  c.schedule = dict(name="cosine", peak_lr=0.1, warmup_epochs=1)
  c.phases = (
    dict(name="teacher", model=teacher, learner=dict(name="supervised")),
    dict(
      name="student",
      model=student,
      learner=dict(
        name="distill",
        teacher=teacher,
        objective=dict(name="kl_divergence_loss", temperature=4.0),
        direction_weight=2.0,
        features="projection",
      ),
    ),
  )
  return c
