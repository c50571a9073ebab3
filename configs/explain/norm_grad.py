"""NormGrad at single and combined layers of ResNet-50, ImageNet at 224 pixels.

The classifier of configs/supervised/imagenet_resnet50.py; after training, or
on a finished run with `jaxcls eval`, its maps are measured on 1,000 images of
the validation set.

Run:    jaxcls train --config configs/explain/norm_grad.py --workdir DIR
Source: Rebuffi et al. 2020, arXiv:2004.02866: virtual identity 1x1 layer,
  every stage; class sensitivity of the maps and of those after a meta step.
Ours:   not run at this size (the source has no boxes); experiments/explain
  has digits on a canvas.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=90, batch_size=4096))
  c.scenario = dict(
    name="standard",
    source="tfds:imagenet2012",
    options=dict(image_size=32 if smoke else 224),
    test_split="validation",
    val_fraction=0.01,
    augment=(
      dict(name="random_resized_crop", scale=(0.08, 1.0)),
      dict(name="random_flip"),
    ),
    preprocess=(
      dict(
        name="normalize",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
      ),
    ),
  )
  c.model = dict(name="resnet", depth=50, stem="imagenet", dtype="bfloat16")
  if smoke:  # Few layers, the same tap names: compiling is all it costs.
    c.model = dict(name="convnet", widths=(4, 4, 4, 4), hidden=None)
  c.learner = dict(
    name="supervised",
    objective="soft_cross_entropy_loss",
    label_smoothing=0.1,
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=1e-4)
  c.schedule = dict(name="cosine", peak_lr=1.6, warmup_epochs=5)
  c.evaluation = dict(
    batch_size=64,
    explanations=dict(
      methods=(
        dict(name="norm_grad", layer="stage1"),
        dict(name="norm_grad", layer="stage4"),
        dict(
          name="combine_layers",
          method="norm_grad",
          layers=("stage1", "stage2", "stage3", "stage4"),
        ),
        dict(
          name="meta_saliency",
          method=dict(name="norm_grad", layer="stage4"),
          epsilon=1e-3,
        ),
      ),
      metrics=("class_sensitivity",),
      num_examples=16 if smoke else 1000,
    ),
  )
  c.mesh = dict(data=-1, fsdp=1)
  c.workers = 0 if smoke else 16
  return c
