"""Decoupled mixup inside FixMatch, four labels a class; digits.

Run:    jaxcls compare --experiment experiments/semisup/decoupled_mixup.py \
            --workdir DIR
Sizes:  scikit-learn's digits, 4 labelled images of each of 10 classes, 1,293
        unlabelled, 144 validation, 360 test images of 8 x 8; ConvNet of
        widths 16, 32; 10 labelled and 70 unlabelled images a batch, 1,000
        steps, 5 seeds (which also draw the labelled images).

mixup and decoupled mix the labelled images of a batch with one another. The
paper's constants (alpha 1, eta 0.1). The learning rate was chosen for each arm
on val, seed 100, out of 0.001, 0.003, 0.01.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  weak = (dict(name="random_crop", padding=1),)
  strong = (
    *weak,
    dict(name="rand_augment", num_ops=2, magnitude=8),
    dict(name="cutout", size=2),
  )
  preprocess = (dict(name="normalize", mean=(0.305,), std=(0.376,)),)

  def arm(lr, **learner):
    learner = dict(name="semi_supervised", ema_decay=0.99, **learner)
    return dict(
      config="configs/semisup/fixmatch.py",
      set=(f"learner={learner}", f"schedule.peak_lr={lr}"),
    )

  mixing = dict(name="mixup", alpha=1.0)
  decoupled = dict(name="decoupled_mixup_loss", eta=0.1)
  return dict(
    arms=dict(
      fixmatch=arm(0.01),
      mixup=arm(0.01, mixing=mixing),
      decoupled=arm(0.003, mixing=mixing, objective=decoupled),
    ),
    set=(
      "scenario.source='digits'",
      "scenario.val_fraction=0.1",
      "scenario.labeled_batch_size=10",
      f"scenario.weak={weak}",
      f"scenario.strong={strong}",
      f"scenario.preprocess={preprocess}",
      "model={'name': 'convnet', 'widths': (16, 32), 'hidden': 64}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.01}",
      "schedule={'name': 'cosine', 'peak_lr': 0.003}",
      "evaluation.every_steps=200",
      "batch_size=10",
      "total_steps=1000",
      "log_every_steps=100",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("val/accuracy",),
    baseline="mixup",
    claim="FixMatch with decoupled mixup at least as accurate as with mixup",
  )
