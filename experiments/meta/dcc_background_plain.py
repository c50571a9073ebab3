"""What dcc_background.py compares, without the background.

Run:    jaxcls compare --experiment experiments/meta/dcc_background_plain.py \
            --workdir DIR
Sizes:  the same digits of 14 x 14 pixels on a black ground, 10 images a class;
        all else as there. 3 seeds.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  ten = ("learner.images_per_class=10", "learner.inner_steps=10")

  arm = lambda config, *more: dict(config=f"configs/meta/{config}.py", set=more)
  random = "learner.match=False", "learner.net_steps=0"
  return dict(
    arms=dict(
      random_10=arm("dc", *ten, *random),
      dc_10=arm("dc", *ten),
      dcc_10=arm("dcc", *ten, "learner.outer_warmup=25"),
    ),
    set=(
      "scenario.source='mnist5k_backdrop'",
      "scenario.options={'strength': 0.0}",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.0328,), "
      "'std': (0.1511,)},)",
      "scenario.sampler.shot=63",
      "model={'name': 'mlp', 'hidden': (128, 128)}",
      "batch_size=640",
      "total_steps=1000",
    ),
    seeds=(0, 1, 2),
    metric="test/accuracy",
    baseline="random_10",
    claim="10 images a class: DC and DCC more accurate than random real images",
  )
