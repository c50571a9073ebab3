"""Condensed training sets: DCC, DC and random real images; digits.

Run:    jaxcls compare --experiment experiments/meta/dcc_digits.py --workdir DIR
Sizes:  10 images, or 1, a class of the 1,437 training images of digits, 360
        test images; MLP of two layers of 128 units; 64 real images a class; 3
        seeds. With 10 images 100 rounds of 10 steps, 50 steps of the network
        between, class-wise matching for the first 25 rounds; with 1 image
        1,000 rounds of one step, the first 250 class-wise. A network trained
        for 300 steps on the images alone is tested.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  ten = ("learner.images_per_class=10", "learner.inner_steps=10")
  one = ("learner.images_per_class=1", "learner.inner_steps=1")
  arm = lambda config, *more: dict(config=f"configs/meta/{config}.py", set=more)
  random = "learner.match=False", "learner.net_steps=0"
  return dict(
    arms=dict(
      random_10=arm("dc", *ten, *random),
      dc_10=arm("dc", *ten),
      dcc_10=arm("dcc", *ten, "learner.outer_warmup=25"),
      random_1=arm("dc", *one, *random),
      dc_1=arm("dc", *one, "learner.net_steps=1"),
      dcc_1=arm("dcc", *one, "learner.net_steps=1"),
    ),
    set=(
      "scenario.source='digits'",
      "scenario.sampler.shot=63",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.305,), "
      "'std': (0.376,)},)",
      "model={'name': 'mlp', 'hidden': (128, 128)}",
      "batch_size=640",
      "total_steps=1000",
    ),
    seeds=(0, 1, 2),
    metric="test/accuracy",
    baseline="dc_10",
    claim="test accuracy of DCC above DC's and random real images'",
  )
