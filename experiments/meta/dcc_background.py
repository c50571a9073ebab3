"""DCC, DC and random real images where most of an image says nothing.

Run:    jaxcls compare --experiment experiments/meta/dcc_background.py \
            --workdir DIR
Sizes:  mnist5k at half size in the middle of one black and white picture, the
        same in every image but for its brightness, which is drawn
        independently of the class (`mnist5k_backdrop`): the images' mean has
        about 40 times the energy of what sets a class apart. Everything else is
        experiments/meta/dcc.py: 10 images, or 1, a class of 4,000, 1,000 test
        images, MLP of two layers of 128 units, 64 real images a class. 3
        seeds. dcc_background_plain.py has the digits on a black ground.

The expectation: class by class, a gradient is a sum of errors times inputs,
which what the classes share dominates, so that DC's cosine hardly sees the
digits; summed over the classes the errors of every output unit cancel, and with
them what is shared. The set and its one strength were fixed before any run.
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
      "scenario.source='mnist5k_backdrop'",
      "scenario.options={'strength': 1.0}",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.3261,), "
      "'std': (0.3824,)},)",
      "scenario.sampler.shot=63",
      "model={'name': 'mlp', 'hidden': (128, 128)}",
      "batch_size=640",
      "total_steps=1000",
    ),
    seeds=(0, 1, 2),
    metric="test/accuracy",
    baseline="random_10",
    claim="10 images a class: DC at most as accurate as random real images, "
    "DCC more accurate than both",
  )
