"""USEFUL against plain training and random upsampling, Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/core/useful.py --workdir DIR
Sizes:  5,000 training images, 10,000 test images, shrunk to 14 x 14; ConvNet of
        widths 16, 32; batch 128; 2 epochs of warm-up in every arm, then 20
        epochs (780 steps) from scratch, 5 seeds.
Chosen: learning rate (0.03, 0.1 or 0.3) on val, seed 100, for every arm; SAM
        with radius 0.1.
"""

RATES = dict(vanilla=0.1, random=0.1, useful=0.1, sam=0.3, sam_useful=0.3)
CHOICES = dict(
  vanilla="none", random="random", useful="slow", sam="none", sam_useful="slow"
)


def make_phases(arm: str, learning_rate: float) -> tuple:
  """Returns warm-up and training."""
  base = dict(name="supervised")
  if arm.startswith("sam"):
    base["gradient"] = dict(name="sam_gradient", rho=0.1)
  return (
    dict(
      name="warmup",
      total_epochs=2,
      learner=dict(name="supervised"),
      schedule=dict(name="constant", peak_lr=0.03),
      evaluation=dict(metrics=()),
    ),
    dict(
      name="train",
      total_epochs=20,
      learner=dict(
        name="upsampled", base=base, num_examples=60000, choose=CHOICES[arm]
      ),
      schedule=dict(name="cosine", peak_lr=learning_rate),
    ),
  )


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  augment = (
    dict(name="random_crop", padding=1),
    dict(name="random_flip"),
  )
  preprocess = (
    dict(name="resize", size=14),
    dict(name="normalize", mean=(0.286,), std=(0.353,)),
  )
  return dict(
    arms={
      arm: dict(
        config="configs/core/useful.py",
        set=(f"phases={make_phases(arm, rate)}",),
      )
      for arm, rate in RATES.items()
    },
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.val_fraction=0.05",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 5000}",
      f"scenario.augment={augment}",
      f"scenario.preprocess={preprocess}",
      "model={'name': 'convnet', 'widths': (16, 32), 'hidden': 128}",
      "log_every_steps=39",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("train/fast_loss@1.0", "train/slow_loss@1.0", "train/slow_share@1.0"),
    baseline="vanilla",
    claim="USEFUL above plain training and above random upsampling of the same "
    "size, with SGD; the two clusters' mean losses differ",
  )
