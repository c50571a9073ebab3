"""What dcc_background.py compares, without the background.

Run:    jaxcls compare --experiment experiments/meta/dcc_background_plain.py \
            --workdir DIR
Sizes:  the same digits of 14 x 14 pixels on a black ground, 10 images a class;
        all else as there. 8 seeds.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(
    str(pathlib.Path(__file__).with_name("dcc_background.py"))
  )
  base = base["get_experiment"]()
  data = (
    "scenario.options={'strength': 0.0}",
    "scenario.preprocess=({'name': 'normalize', 'mean': (0.0328,), "
    "'std': (0.1511,)},)",
  )
  arms = base["arms"]
  return {
    **base,
    "arms": {name: arms[name] for name in ("random_10", "dc_10", "dcc_10")},
    "set": (*base["set"], *data),
    "claim": "10 images a class: DC and DCC more accurate than random real "
    "images",
  }
