"""Condensed training sets: DCC, DC and random real images; digits.

Run:    jaxcls compare --experiment experiments/meta/dcc_digits.py --workdir DIR
Sizes:  10 images, or 1, a class of the 1,437 training images of digits, 360
        test images; MLP of two layers of 128 units; 64 real images a class; 8
        seeds. With 10 images 100 rounds of 10 steps, 50 steps of the network
        between, class-wise matching for the first 25 rounds; with 1 image
        1,000 rounds of one step, the first 250 class-wise. A network trained
        for 300 steps on the images alone is tested.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("dcc.py")))
  base = base["get_experiment"]()
  data = (
    "scenario.source='digits'",
    "scenario.preprocess=({'name': 'normalize', 'mean': (0.305,), "
    "'std': (0.376,)},)",
  )
  return {
    **base,
    "set": (*base["set"], *data),
    "seeds": (0, 1, 2, 3, 4, 5, 6, 7),
  }
