"""Instances from bag labels: INS, attention and max-pooling; Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/bags/ins_mil.py --workdir DIR
Sizes:  200 training, 50 validation, 100 test bags of 10 to 50 images shrunk to
        14 x 14, half of them with sneakers, 5 % of the bag; ConvNet of
        widths 16, 32; 4 bags a step, 30 epochs (900 steps), 8 seeds.

The learning rate was to be the best of (0.001, 0.003) for each arm on the
validation bags' AUC at 20 % with seed 100: 0.001 is as good in all three. INS's
bag term pools by the maximum: the mean was worse on them at 5 %.
"""


def get_experiment(rate=0.05) -> dict:
  """Returns arms, seeds, metric and claim; rate: positives in such a bag."""
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
    warmup_steps=150, decay_steps=750, bag_pooling="max",
  )  # fmt: skip
  pool = lambda pooling: dict(name="bag_roc_auc", pooling=pooling)
  metrics = ("roc_auc", *map(pool, ("attention", "max", "mean")))

  def arm(config, *more):
    return dict(config=f"configs/bags/{config}.py", set=more)

  augment = f"scenario.augment={shift}"
  return dict(
    arms=dict(
      ins=arm("ins_mil", f"learner={ins}", f"scenario.views={(shift, shift)}"),
      abmil=arm("abmil", augment),
      max=arm("abmil", augment, "learner.pooling='max'"),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.positive_class=7",
      f"scenario.positive_rate={rate}",
      "scenario.train_bags=200",
      "scenario.val_bags=50",
      "scenario.test_bags=100",
      "scenario.bags_per_step=4",
      f"scenario.preprocess={preprocess}",
      f"model={model}",
      f"evaluation.metrics={metrics}",
      "schedule.peak_lr=0.001",
      "optimizer={'name': 'adamw', 'weight_decay': 0.0001}",
      "batch_size=200",
      "total_epochs=30",
    ),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    metric="test/roc_auc",
    also=tuple(
      f"test_bags/bag_roc_auc(pooling={p})"
      for p in ("attention", "max", "mean")
    ),
    baseline="abmil",
    claim="instance AUC of INS above ABMIL's attention and max-pooling, bag "
    "AUC at least ABMIL's",
  )
