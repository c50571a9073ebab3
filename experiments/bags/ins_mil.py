"""Instances from bag labels: INS, attention and max-pooling; Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/bags/ins_mil.py --workdir DIR
Sizes:  200 training, 50 validation, 100 test bags of 10 to 50 images shrunk to
        14 x 14, half of them with sneakers, 5 % or 20 % of the bag; ConvNet of
        widths 16, 32; 4 bags a step, 30 epochs (900 steps), 3 seeds.

Each arm's learning rate is the best of (0.001, 0.003) on the validation bags'
AUC at 20 % with seed 100.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  shift = (dict(name="random_crop", padding=2),)
  preprocess = (
    dict(name="resize", size=14),
    dict(name="normalize", mean=(0.286,), std=(0.353,)),
  )
  heads = dict(
    attention=dict(width=1, hidden=(64,)),
    projection=dict(width=32, hidden=(64,)),
  )
  model = dict(name="convnet", widths=(16, 32), hidden=64, heads=heads)
  ins = dict(
    name="instance_classifier", num_examples=60_000, queue_size=4000,
    warmup_steps=150, decay_steps=750,
  )  # fmt: skip
  pool = lambda pooling: dict(name="bag_roc_auc", pooling=pooling)
  metrics = ("roc_auc", *map(pool, ("attention", "max", "mean")))

  def arm(config, rate, lr, *more):
    return dict(
      config=f"configs/bags/{config}.py",
      set=(
        f"scenario.positive_rate={rate}", f"schedule.peak_lr={lr}", *more
      ),
    )  # fmt: skip

  arms = {}
  for rate in (0.05, 0.2):
    views = f"scenario.views={(shift, shift)}"
    arms[f"ins_{rate}"] = arm("ins_mil", rate, 0.001, f"learner={ins}", views)
    augment = f"scenario.augment={shift}"
    arms[f"abmil_{rate}"] = arm("abmil", rate, 0.001, augment)
    arms[f"max_{rate}"] = arm(
      "abmil", rate, 0.001, augment, "learner.pooling='max'"
    )
  return dict(
    arms=arms,
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.positive_class=7",
      "scenario.train_bags=200",
      "scenario.val_bags=50",
      "scenario.test_bags=100",
      "scenario.bags_per_step=4",
      f"scenario.preprocess={preprocess}",
      f"model={model}",
      f"evaluation.metrics={metrics}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.0001}",
      "batch_size=200",
      "total_epochs=30",
    ),
    seeds=(0, 1, 2),
    metric="test/roc_auc",
    also=tuple(
      f"test_bags/bag_roc_auc(pooling={p})"
      for p in ("attention", "max", "mean")
    ),
    baseline="abmil_0.05",
    claim="instance AUC of INS above ABMIL's attention and max-pooling, bag "
    "AUC at least ABMIL's",
  )
