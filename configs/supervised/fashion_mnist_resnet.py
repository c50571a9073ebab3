"""A narrow ResNet-18 on Fashion-MNIST.

Run:    jaxcls train --config configs/supervised/fashion_mnist_resnet.py
        --workdir DIR
Source: He et al. 2016, arXiv:1512.03385; width 8 instead of 64.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  del mode
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=3, batch_size=128))
  c.scenario = dict(
    name="standard",
    source="fashion_mnist",
    val_fraction=0.05,
    augment=(dict(name="random_flip"),),
    preprocess=(dict(name="normalize", mean=(0.286,), std=(0.353,)),),
  )
  c.model = dict(name="resnet", depth=18, width=8, stem="small")
  c.learner = dict(
    name="supervised",
    objective=dict(name="cross_entropy_loss", label_smoothing=0.1),
  )
  c.optimizer = dict(name="sgd", momentum=0.9, nesterov=True, weight_decay=5e-4)
  c.schedule = dict(name="cosine", peak_lr=0.2, warmup_epochs=0.5)
  c.evaluation = dict(
    metrics=("accuracy", "negative_log_likelihood"), every_epochs=1
  )
  return c
