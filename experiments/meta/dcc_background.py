"""DCC, DC and random real images where most of an image says nothing.

Run:    jaxcls compare --experiment experiments/meta/dcc_background.py \
            --workdir DIR
Sizes:  mnist5k at half size in the middle of one black and white picture, the
        same in every image but for its brightness, which is drawn
        independently of the class (`mnist5k_backdrop`): the images' mean has
        about 40 times the energy of what sets a class apart. Everything else is
        experiments/meta/dcc.py: 10 images, or 1, a class of 4,000, 1,000 test
        images, MLP of two layers of 128 units, 64 real images a class. 8
        seeds. dcc_background_plain.py has the digits on a black ground.

The expectation: class by class, a gradient is a sum of errors times inputs,
which what the classes share dominates, so that DC's cosine hardly sees the
digits; summed over the classes the errors of every output unit cancel, and with
them what is shared. The set and its one strength were fixed before any run.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("dcc.py")))
  base = base["get_experiment"]()
  data = (
    "scenario.source='mnist5k_backdrop'",
    "scenario.options={'strength': 1.0}",
    "scenario.preprocess=({'name': 'normalize', 'mean': (0.3261,), "
    "'std': (0.3824,)},)",
  )
  return {
    **base,
    "set": (*base["set"], *data),
    "seeds": (0, 1, 2, 3, 4, 5, 6, 7),
    "baseline": "random_10",
    "claim": "10 images a class: DC at most as accurate as random real images, "
    "DCC more accurate than both",
  }
