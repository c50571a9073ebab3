"""Normalised softmax, triplet and contrastive loss on classes never trained.

Run:    jaxcls compare --experiment experiments/core/hyperspherical_novel.py \
            --workdir DIR
Sizes:  Fashion-MNIST at 14 x 14, 6,000 training images in all ten classes, of
        which 6 classes (3,600) are trained and 4 are new with 20 examples
        each; the whole test split; ConvNet of widths 16, 32, unit embedding of
        64; batch 128, 15 epochs, 5 seeds: each trains its own embedding and
        draws its own examples. Classes are their mean embeddings in all arms.
Chosen: learning rate (0.0001, 0.0003, 0.001 or 0.003) on val, seed 100, for
        every arm, by the mean of the two accuracies of the claim; margins 0.2
        (triplet) and 1 (contrastive), scale 16.
"""

NORMALISED = "cross_entropy_loss"
TRIPLET = dict(name="triplet_loss", margin=0.2, mining="semi_hard")
PAIRS = dict(name="pair_loss", margin=1.0)
ARMS = dict(
  normalised=(NORMALISED, 0.001),
  triplet=(TRIPLET, 0.0003),
  pairs=(PAIRS, 0.0001),
)


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  preprocess = (
    dict(name="resize", size=14),
    dict(name="normalize", mean=(0.286,), std=(0.353,)),
  )
  heads = dict(
    embedding=dict(width=64, unit_norm=True),
    cosines=dict(input="embedding", width=10, cosine_scale=16.0),
  )
  model = dict(name="convnet", widths=(16, 32), hidden=128, heads=heads)
  arm = lambda objective, rate: dict(
    config="configs/core/hyperspherical_novel.py",
    set=(f"learner.objective={objective!r}", f"schedule.peak_lr={rate}"),
  )
  return dict(
    arms={name: arm(*settings) for name, settings in ARMS.items()},
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.val_fraction=0.05",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 6000}",
      "scenario.task_sizes=(6, 4)",
      "scenario.augment=()",
      f"scenario.preprocess={preprocess}",
      f"model={model}",
      "total_epochs=15",
      "log_every_steps=20",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/task_aware_accuracy/1",
    also=(
      "test/accuracy",
      "test/base_class_accuracy",
      "test/novel_class_accuracy",
      "time/seconds_per_step@1.0",
    ),
    baseline="triplet",
    claim="the normalised softmax above both other losses on the new classes "
    "alone (disjoint) and on all ten (joint, test/accuracy), and no slower a "
    "step than the triplet loss",
  )
