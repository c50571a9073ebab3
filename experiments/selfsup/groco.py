"""GroCo against SimCLR: k-NN and linear probe, Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/selfsup/groco.py --workdir DIR
Sizes:  10,000 training images, 10,000 test images, shrunk to 14 x 14; ConvNet
        of widths 16, 32; batch 256, 12 epochs, 8 seeds. Temperature and
        steepness: the best of three on val, seed 100.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  view = (
    dict(name="random_resized_crop", scale=(0.3, 1.0), size=14),
    dict(name="random_flip"),
    dict(name="color_jitter", brightness=0.4, contrast=0.4),
  )
  preprocess = (
    dict(name="resize", size=14),
    dict(name="normalize", mean=(0.286,), std=(0.353,)),
  )
  projection = dict(width=64, hidden=(128,), norm="batch")
  model = dict(
    name="convnet", widths=(16, 32), hidden=128,
    heads=dict(projection=projection),
  )  # fmt: skip
  probes = (
    dict(name="knn_probe", k=20),
    dict(name="linear_probe", l2_grid=(1.0, 100.0), max_iterations=200),
  )
  return dict(
    arms=dict(
      simclr=dict(
        config="configs/selfsup/simclr.py",
        set=("learner.objective.temperature=0.1",),
      ),
      groco=dict(
        config="configs/selfsup/groco.py",
        set=("learner.objective.steepness=1.0",),
      ),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.options={}",
      "scenario.test_split='test'",
      "scenario.val_fraction=0.05",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 10000}",
      f"scenario.views={(view, view)}",
      f"scenario.preprocess={preprocess}",
      f"model={model}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.0001}",
      "schedule={'name': 'cosine', 'peak_lr': 0.003, 'warmup_epochs': 1}",
      f"evaluation.probes={probes}",
      "batch_size=256",
      "total_epochs=12",
      "log_every_steps=30",
    ),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    metric="test/knn_probe/accuracy",
    also=("test/linear_probe/accuracy", "train/view_cosine@1.0"),
    baseline="simclr",
    claim="k-NN accuracy of GroCo above NT-Xent's, linear probe within a point",
  )
