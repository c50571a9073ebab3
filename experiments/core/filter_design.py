"""First-layer filters, frozen and trained on, Fashion-MNIST at 14 pixels.

Run:    jaxcls compare --experiment experiments/core/filter_design.py
        --workdir DIR
        python experiments/core/filter_design_kernels.py --runs DIR
Sizes:  2,500 training, 12,000 validation, 10,000 test images, shrunk to 14 x
        14; ConvNet of widths 8, 16 with kernels of 5 x 5; batch 100, 12 epochs
        (300 steps), 5 seeds. The same parameters in every arm.
Chosen: one learning rate for all arms out of (0.03, 0.1, 0.3), the best on val
        with seed 100 on average over random and k-means filters, frozen and
        trained.
"""

NAMES = ("random", "gabor", "dct", "pca", "kmeans", "oja")


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(name, trainable):
    return dict(
      config="configs/core/filter_design.py",
      set=(
        f"learner.filters={{'name': '{name}_filters'}}",
        f"trainable='{trainable}'",
      ),
    )

  preprocess = (
    dict(name="resize", size=14),
    dict(name="normalize", mean=(0.286,), std=(0.353,)),
  )
  return dict(
    arms={
      **{f"{name}_frozen": arm(name, "^(?!convs/0/)") for name in NAMES},
      **{f"{name}_trained": arm(name, "") for name in NAMES},
    },
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.val_fraction=0.2",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 2500}",
      f"scenario.preprocess={preprocess}",
      "model={'name': 'convnet', 'widths': (8, 16), 'hidden': 64,"
      " 'kernel_size': 5}",
      "batch_size=100",
      "total_epochs=12",
      "log_every_steps=20",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("train/loss@0.25", "train/loss@1.0"),
    baseline="random_frozen",
    claim="with a frozen first layer, k-means, PCA and Gabor filters above "
    "random ones; the gap is smaller when the layer is trained",
  )
