"""Copies of one classifier whose adversarial examples can be traced.

A classifier first; then, beside it, a small tracer for each of five copies,
trained so that a little noise turns its outputs by 75 degrees. An attack on a
copy then moves mainly that copy's tracer.

Run:    jaxcls train --config configs/core/adversarial_tracing.py --workdir DIR
Source: Fang et al. 2022, arXiv:2301.01218 (ICCV 2023): ResNet-18 on CIFAR-10,
  200 epochs, tracers of weight 0.15 for 400 epochs, Adam with 1e-4. Standard
  deviation of the noise and the tracers' network (a ConvNet here; residual
  there) are ours, and there is no auto-encoder.
Ours:   not run at this size; experiments/core has MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  network = dict(
    name="resnet", depth=10 if smoke else 18, width=4 if smoke else 64
  )
  c = ml_collections.ConfigDict(dict(seed=0, batch_size=128))
  # Images stay in [0, 1]: noise and attacks are in units of pixels.
  c.scenario = dict(
    name="standard",
    source="tfds:cifar10",
    val_fraction=0.02,
    augment=(
      dict(name="random_flip"),
      dict(name="random_crop", padding=4, mode="reflect"),
    ),
  )
  c.optimizer = dict(name="adamw", weight_decay=0.0)
  c.phases = (
    dict(
      name="classifier",
      model=network,
      learner=dict(name="supervised"),
      schedule=dict(name="constant", peak_lr=1e-4),
      total_epochs=200,
    ),
    dict(
      name="tracers",
      model=dict(
        name="tracer_copies",
        main=network,
        tracer=dict(
          name="convnet", widths=(4, 4) if smoke else (32, 64, 64), hidden=None
        ),
        copies=2 if smoke else 5,
        weight=0.15,
      ),
      trainable="^tracers/",
      learner=dict(
        name="tracers",
        noise_weight=1.0,
        label_weight=0.0,
        noise_std=0.0314,
        angle_degrees=75.0,
      ),
      schedule=dict(name="constant", peak_lr=1e-4),
      total_epochs=400,
    ),
  )
  return c
