"""SBCL: subclass-balancing contrastive learning, CIFAR-100-LT, ratio 100.

1,000 epochs of contrast between subclasses, then a linear classifier on the
frozen features with class-balanced batches. SupCon is the same config with
learner.objective supcon_loss.

Run:    jaxcls train --config configs/imbalance/sbcl.py --workdir DIR
Source: Hou et al. 2023, arXiv:2306.15925, released code: batch 1024, learning
  rate 0.5, temperature 0.1, subclasses of at most 10, clustering every 10
  epochs after 10 of warm-up, 45 epochs of the classifier. Its network is a
  ResNet-32; here a ResNet-18 of half width.
Ours:   not run at this size; experiments/imbalance has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  data = dict(
    name="standard",
    source="tfds:cifar100",
    val_fraction=0.05,
    # The largest class that 95 % of the training examples leave whole.
    subset=dict(name="long_tailed_subset", ratio=100, num_head=475),
    preprocess=(
      dict(
        name="normalize", mean=(0.507, 0.487, 0.441), std=(0.267, 0.256, 0.276)
      ),
    ),
  )
  view = (
    dict(name="random_resized_crop", scale=(0.2, 1.0)),
    dict(name="random_flip"),
    dict(
      name="color_jitter", brightness=0.4, contrast=0.4, saturation=0.4,
      hue=0.1, probability=0.8,
    ),
    dict(name="random_grayscale", probability=0.2),
  )  # fmt: skip
  weak = (dict(name="random_crop", padding=4), dict(name="random_flip"))
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=1000))
  c.batch_size = 1024
  c.scenario = dict(**data, views=(view, view))
  c.model = dict(
    name="resnet",
    depth=10 if smoke else 18,
    width=4 if smoke else 32,
    heads=dict(projection=dict(width=128, hidden=(32 if smoke else 256,))),
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=2e-4)
  c.evaluation = dict(
    metrics=(
      "accuracy", "balanced_accuracy", "many_shot_accuracy",
      "medium_shot_accuracy", "few_shot_accuracy",
    )
  )  # fmt: skip
  c.phases = (
    dict(
      name="representation",
      learner=dict(
        name="contrastive",
        objective=dict(
          name="subclass_contrastive_loss", temperature=0.1, beta=0.2
        ),
        min_subclass_size=10,
        # 10 epochs of the 10,302 examples.
        refresh_every_steps=1 if smoke else 100,
        warmup_steps=1 if smoke else 100,
        num_examples=50000,
      ),
      schedule=dict(name="cosine", peak_lr=0.5, warmup_epochs=10),
      evaluation=dict(metrics=(), probes=("knn_probe",)),
    ),
    dict(
      name="classifier",
      total_epochs=45,
      batch_size=128,
      scenario=dict(**data, augment=weak, sampler="class_balanced_plan"),
      learner=dict(name="supervised", frozen_stats=True),
      optimizer=dict(name="sgd", momentum=0.9),
      schedule=dict(name="cosine", peak_lr=0.1, warmup_epochs=5),
      trainable="^head",
      inherit="^(?!head)",
    ),
  )
  return c
