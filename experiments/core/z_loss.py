"""The Z-loss against other losses of the spherical family; 5,000 classes.

Run:    jaxcls compare --experiment experiments/core/z_loss.py --workdir DIR
Sizes:  one random pattern in 32 dimensions a class with noise of the same
        size, 18,000 training, 2,000 validation, 20,000 test examples (4 a
        class); one hidden layer of 64; batch 500, 15 epochs, 3 seeds.

On validation top-5 accuracy with seed 100: the learning rate of each arm out of
(0.003, 0.01, 0.03); a and b of the Z-loss out of ten pairs, widened from (0.1,
1) x (10, 28) while the best lay at an edge; epsilon of the spherical softmax
out of (0.001, 1, 10). Squared error learned nothing at 0.003 and is left out.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(lr, name, scores=None, **settings):
    objective = dict(name=name, **settings)
    learner = dict(name="supervised", objective=objective, scores=scores)
    return dict(
      config="configs/core/z_loss.py",
      set=(
        f"learner={learner}",
        f"schedule.peak_lr={lr}",
      ),
    )

  options = dict(shape=(32,), num_classes=5000, num_examples=20_000)
  return dict(
    arms=dict(
      z_loss=arm(0.03, "z_loss", a=1.0, b=3.0),
      spherical_softmax=arm(
        0.03,
        "spherical_softmax_loss",
        dict(name="spherical_log_softmax", epsilon=10.0),
        epsilon=10.0,
      ),
      taylor_softmax=arm(0.03, "taylor_softmax_loss", "taylor_log_softmax"),
      cross_entropy=arm(0.03, "cross_entropy_loss"),
    ),
    set=(
      "scenario.source='fake'",
      f"scenario.options={options}",
      "scenario.test_split='test'",
      "scenario.val_fraction=0.1",
      "scenario.augment=()",
      "scenario.preprocess=()",
      "model={'name': 'mlp', 'hidden': (64,), 'init': 0.15}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.0001}",
      "schedule.warmup_epochs=1",
      "batch_size=500",
      "total_epochs=15",
    ),
    seeds=(0, 1, 2),
    metric="test/top_k_accuracy(k=5)",
    also=("test/accuracy",),
    baseline="z_loss",
    claim="top-5 accuracy of the Z-loss above the other spherical losses'",
  )
