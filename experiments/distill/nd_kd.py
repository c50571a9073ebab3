"""KD++ against distillation alone and against no teacher, Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/distill/nd_kd.py --workdir DIR
Sizes:  5,000 training images, 10,000 test images; teacher ConvNet of widths
        32, 64, student of a quarter of them, 10 epochs each, 5 seeds.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  teacher = "{'name': 'convnet', 'widths': (32, 64), 'hidden': 128}"
  student = "{'name': 'convnet', 'widths': (8, 16), 'hidden': 128}"
  phase = "{'name': %r, 'model': %s, 'learner': %s}"
  learner = (
    "{'name': 'distill', 'teacher': %s, 'weight': %s, 'direction_weight': %s}"
  )
  first = phase % ("teacher", teacher, "{'name': 'supervised'}")

  def arm(weight, direction_weight):
    second = learner % (teacher, weight, direction_weight)
    phases = f"phases=({first}, {phase % ('student', student, second)})"
    return dict(config="configs/distill/nd_kd.py", set=(phases,))

  return dict(
    arms=dict(
      kd=arm(1.0, 0.0),
      kd_plus_plus=arm(1.0, 2.0),
      norm_direction=arm(0.0, 2.0),
      no_teacher=arm(0.0, 0.0),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 5000}",
      "scenario.augment=()",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.286,), "
      "'std': (0.353,)},)",
      "optimizer={'name': 'adamw', 'weight_decay': 0.02}",
      "schedule={'name': 'cosine', 'peak_lr': 0.002, 'warmup_epochs': 1}",
      "total_epochs=10",
      "log_every_steps=20",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("train/feature_norm@1.0", "train/direction_cosine@1.0"),
    claim="KD++ at least as accurate as KD; longer, better aligned features",
  )
