"""Core-tuning: SimCLR on ImageNet-1k, then fine-tuning on CIFAR-10.

100 epochs of SimCLR as in configs/selfsup/simclr.py; then the classifier and a
fresh projector are trained with the encoder, on features mixed into hard
pairs. CE-tuning is the same config with learner.objective=None and
learner.hard_pairs=None in the second phase.

Run:    jaxcls train --config configs/core/core_tuning.py --workdir DIR
Source: Zhang et al. 2021, arXiv:2102.06605, released code: ResNet-50 of
  MoCo v2, weight 0.1 of {0.1, 1, 10} for CIFAR-10, alpha 1, 100 epochs of SGD
  with learning rate 0.01, batch 4 x 64, images of 224 pixels; its steps at
  epochs 41 and 81 are a cosine here.
Ours:   not run at this size; experiments/core has Fashion-MNIST.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  size = 32 if smoke else 224
  normalize = dict(
    name="normalize", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
  )
  view = (
    dict(name="random_resized_crop", scale=(0.08, 1.0)),
    dict(
      name="color_jitter", brightness=0.8, contrast=0.8, saturation=0.8,
      hue=0.2, probability=0.8,
    ),
    dict(name="random_grayscale", probability=0.2),
    dict(name="gaussian_blur", sigma=(0.1, 2.0), probability=0.5),
    dict(name="random_flip"),
  )  # fmt: skip
  encoder = dict(
    name="resnet", depth=50, width=64, stem="imagenet", dtype="bfloat16"
  )
  if smoke:
    encoder = dict(name="convnet", widths=(8, 8), dtype="bfloat16")
  hidden = 32 if smoke else 2048
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=100))
  c.batch_size = 256
  c.phases = (
    dict(
      name="pretrain",
      batch_size=1024,
      scenario=dict(
        name="standard",
        source="tfds:imagenet2012",
        options=dict(image_size=size),
        test_split="validation",
        views=(view, view),
        preprocess=(normalize,),
      ),
      model=dict(
        **encoder,
        heads=dict(
          projection=dict(width=128, hidden=(hidden, hidden), norm="batch")
        ),
      ),
      learner=dict(
        name="contrastive", objective=dict(name="nt_xent_loss", temperature=0.1)
      ),
      optimizer=dict(name="lars", momentum=0.9, weight_decay=1e-6),
      schedule=dict(name="cosine", peak_lr=2.4, warmup_epochs=10),
      evaluation=dict(metrics=()),
    ),
    dict(
      name="finetune",
      accumulation_steps=1 if smoke else 4,
      scenario=dict(
        name="standard",
        source="tfds:cifar10",
        val_fraction=0.02,
        augment=(
          dict(name="random_crop", padding=4),
          dict(name="random_flip"),
        ),
        preprocess=(dict(name="resize", size=size), normalize),
      ),
      model=dict(
        **encoder, heads=dict(projection=dict(width=256, hidden=(hidden,)))
      ),
      learner=dict(
        name="fine_tune",
        objective=dict(name="focal_supcon_loss", temperature=0.07),
        weight=0.1,
        hard_pairs=dict(alpha=1.0),
      ),
      optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
      schedule=dict(name="cosine", peak_lr=0.01),
      evaluation=dict(probes=("scatter_probe",)),
      inherit="^(?!head)",
    ),
  )
  return c
