"""Condensed training sets with the paper's kind of network; digits.

Run:    jaxcls compare --experiment experiments/meta/dcc_convnet.py \
            --workdir DIR
Sizes:  10 images a class of the 1,437 training images of digits, 360 test
        images; ConvNet of widths 16, 32 with instance norm, average pooling
        and a linear layer on the flattened maps (the paper's has three of
        128); 64 real images a class; 8 seeds. 100 rounds of 10 steps, 50 steps
        of the network between, class-wise matching for the first 25 rounds. A
        network trained for 300 steps on the images alone is tested.

All else as in dcc_digits.py, whose network is an MLP; nothing was tuned.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("dcc_digits.py")))
  base = base["get_experiment"]()
  model = (
    "model={'name': 'convnet', 'widths': (16, 32), 'hidden': None, 'flatten': "
    "True, 'pool': 'average', 'norm': 'instance', 'unfold': True}"
  )
  keep = [item for item in base["set"] if not item.startswith("model=")]
  arms = ("random_10", "dc_10", "dcc_10")
  return {
    **base,
    "arms": {name: base["arms"][name] for name in arms},
    "set": (*keep, model),
  }
