"""SBCL against SupCon and cross-entropy, long-tailed Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/imbalance/sbcl.py --workdir DIR
Sizes:  imbalance 100, 1,000 images of the largest class, 2,478 in all, 10,000
        test images, shrunk to 14 x 14; ConvNet of widths 16, 32; batch 256;
        30 epochs, then 10 of a class-balanced linear classifier, 5 seeds.
        ce: 40 epochs of plain cross-entropy; ce_balanced: 30 of it and the
        class-balanced classifier. Nothing was tuned in any arm.
"""

OBJECTIVES = dict(
  supcon=dict(name="supcon_loss", temperature=0.1),
  sbcl=dict(name="subclass_contrastive_loss", temperature=0.1, beta=0.2),
)
SUBCLASSES = dict(
  min_subclass_size=20, refresh_every_steps=36, warmup_steps=72,
  num_examples=60000,
)  # fmt: skip


def make_phases(arm: str) -> tuple:
  """Returns the phases of an arm."""
  data = dict(
    name="standard",
    source="fashion_mnist",
    val_fraction=0.05,
    subset=dict(name="long_tailed_subset", ratio=100, num_head=1000),
    preprocess=(
      dict(name="resize", size=14),
      dict(name="normalize", mean=(0.286,), std=(0.353,)),
    ),
  )
  view = (
    dict(name="random_resized_crop", scale=(0.3, 1.0), size=14),
    dict(name="random_flip"),
    dict(name="color_jitter", brightness=0.4, contrast=0.4),
  )
  schedule = dict(name="cosine", warmup_epochs=1)
  first = dict(
    name="representation",
    total_epochs=30,
    scenario=dict(**data, views=(view, view)),
    schedule=dict(**schedule, peak_lr=0.003),
    evaluation=dict(metrics=()),
  )
  if arm in OBJECTIVES:
    learner = dict(name="contrastive", objective=OBJECTIVES[arm])
    learner |= SUBCLASSES if arm == "sbcl" else {}
    first["learner"] = learner
  else:
    first["learner"] = dict(name="supervised")
    first["scenario"] = dict(**data, augment=view)
  if arm == "ce":
    del first["evaluation"]
    return (dict(first, total_epochs=40),)
  second = dict(
    name="classifier",
    total_epochs=10,
    scenario=dict(**data, sampler="class_balanced_plan"),
    learner=dict(name="supervised", frozen_stats=True),
    schedule=dict(**schedule, peak_lr=0.01),
    trainable="^head",
    inherit="^(?!head)",
  )
  return (first, second)


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  projection = dict(width=64, hidden=(128,), norm="batch")
  model = dict(
    name="convnet", widths=(16, 32), hidden=128,
    heads=dict(projection=projection),
  )  # fmt: skip
  arm = lambda name: dict(
    config="configs/imbalance/sbcl.py",
    set=(f"phases={make_phases(name)}",),
  )
  return dict(
    arms=dict(
      supcon=arm("supcon"),
      sbcl=arm("sbcl"),
      ce=arm("ce"),
      ce_balanced=arm("ce_balanced"),
    ),
    set=(
      f"model={model}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.0001}",
      "batch_size=256",
      "total_epochs=30",
      "log_every_steps=40",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/balanced_accuracy",
    also=(
      "test/many_shot_accuracy", "test/medium_shot_accuracy",
      "test/few_shot_accuracy",
    ),
    baseline="supcon",
    same_budget=False,
    claim="SBCL + linear above SupCon + linear and above cross-entropy in "
    "balanced accuracy (ce has its 40 epochs in one phase)",
  )  # fmt: skip
