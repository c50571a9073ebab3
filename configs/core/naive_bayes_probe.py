"""Naive Bayes against logistic regression on frozen features, CIFAR-10.

Pretrains a ResNet-50 on ImageNet, then fits a naive Bayes classifier with tied
variances to its features of CIFAR-10. Logistic regression is the same config
with learner.classifier logistic_regression and learner.fit_options
{'l2': 1.0}; fewer labels: scenario.subset of the second phase.

Run:    jaxcls train --config configs/core/naive_bayes_probe.py --workdir DIR
Source: Zheng et al. 2023, arXiv:2302.02334 (features of published networks,
  scaled to [0, 1]; give weights by init_from and drop the first phase).
Ours:   not run at this size; experiments/core has MNIST on features of a
  network trained on Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  size = 32 if smoke else 224
  normalize = dict(
    name="normalize", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
  )
  c = ml_collections.ConfigDict(dict(seed=0, batch_size=1024))
  c.model = dict(
    name="resnet",
    depth=10 if smoke else 50,
    width=4 if smoke else 64,
    stem="imagenet",
    dtype="bfloat16",
  )
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
      optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
      schedule=dict(name="cosine", peak_lr=0.4, warmup_epochs=5),
      total_epochs=90,
    ),
    dict(
      name="probe",
      scenario=dict(
        name="standard",
        source="tfds:cifar10",
        options=dict(image_size=size),
        preprocess=(normalize,),
        play="fit",
      ),
      inherit="^(?!head)",
      learner=dict(
        name="closed_form",
        classifier="naive_bayes",
        fit_options=dict(tied=True),
        scaling="min_max",
      ),
      total_epochs=1,
    ),
  )
  return c
