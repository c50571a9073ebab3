"""TEEN against plain prototypes: few-shot class-incremental Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/incremental/teen.py \
            --workdir DIR
Sizes:  6 base classes (6,000 training images in all ten, 3,600 of the base), 2
        sessions of 2-way 5-shot; the whole test split; 12 epochs on the base,
        10 seeds: each trains its base and draws its own shots.

alpha = 0.5 is the paper's; 0.1 is that of its CIFAR-100 script. tau = 16.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  config = "configs/incremental/teen.py"
  arm = lambda alpha: dict(config=config, set=(f"learner.alpha={alpha}",))
  return dict(
    arms=dict(prototypes=arm(0.0), teen=arm(0.5), teen_weak=arm(0.1)),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 6000}",
      "scenario.task_sizes=(6, 2, 2)",
      "scenario.augment=()",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.286,), "
      "'std': (0.353,)},)",
      "model={'name': 'convnet', 'widths': (16, 32), 'hidden': 64, "
      "'cosine_scale': 16.0}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.02}",
      "schedule.peak_lr=0.002",
      "total_epochs=12",
    ),
    seeds=tuple(range(10)),
    metric="test/novel_class_accuracy",
    also=(
      "test/accuracy",
      "stages/average_accuracy",
      "test/base_class_accuracy",
      "test/novel_as_base_rate",
      "test/base_as_novel_rate",
    ),
    claim="higher accuracy on new classes than their plain prototypes have, "
    "fewer of them taken for base classes",
  )
