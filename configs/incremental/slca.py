"""SLCA: slow learner with classifier alignment, split CIFAR-100.

Pretrains a ViT-B/16 on ImageNet, then learns CIFAR-100 in ten tasks of ten
classes, the body a hundred times as slowly as the head.

Run:    jaxcls train --config configs/incremental/slca.py --workdir DIR
Source: Zhang et al. 2023, arXiv:2303.05118: SGD with learning rate 0.01, body
  0.01 of it, batch 128, 20 epochs a task (the paper starts from ImageNet-21k
  weights; give yours by init_from and drop the first phase).
Ours:   not run at this size; experiments/incremental has MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  size = 32 if mode == "smoke" else 224
  normalize = dict(
    name="normalize", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
  )
  c = ml_collections.ConfigDict(dict(seed=0, batch_size=128))
  c.model = dict(name="vit", variant="B/16")
  if mode == "smoke":
    c.model = dict(name="convnet", widths=(4, 4), hidden=8)
  c.phases = (
    dict(
      name="pretrain",
      scenario=dict(
        name="standard",
        source="tfds:imagenet2012",
        options=dict(image_size=size),
        test_split="validation",
        augment=(dict(name="random_resized_crop"), dict(name="random_flip")),
        preprocess=(normalize,),
      ),
      learner=dict(name="supervised"),
      optimizer=dict(name="adamw", weight_decay=0.05),
      schedule=dict(name="cosine", peak_lr=1e-3, warmup_epochs=5),
      batch_size=1024,
      total_epochs=90,
    ),
    dict(
      name="incremental",
      scenario=dict(
        name="class_incremental",
        source="tfds:cifar100",
        options=dict(image_size=size),
        task_sizes=(50, 50) if size == 32 else (10,) * 10,
        preprocess=(normalize,),
      ),
      inherit="^(?!head)",
      learner=dict(name="aligned_classifier"),
      optimizer=dict(
        name="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        groups=(dict(pattern="^(?!head)", lr_scale=0.01),),
      ),
      schedule=dict(name="cosine", peak_lr=0.01),
      total_epochs=20,
      evaluation=dict(metrics=("accuracy", "task_accuracy")),
    ),
  )
  return c
