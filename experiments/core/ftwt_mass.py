"""As ftwt.py, with other shares of the mass.

Run:    jaxcls compare --experiment experiments/core/ftwt_mass.py --workdir DIR
Then:   python experiments/core/ftwt_flops.py --runs DIR
Sizes:  those of ftwt.py; shares 0.8 and 0.95 of the mass in place of 0.9, and
        with 0.9 the double of the fine-tuning, 12 epochs; 3 seeds.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("ftwt.py")))
  arm, base = base["make_arm"], base["get_experiment"]()
  return {
    **base,
    "arms": dict(
      dense=arm("open"),
      dense_long=arm("open", epochs=12),
      predicted_80=arm("predicted", ratio=0.8),
      predicted_95=arm("predicted", ratio=0.95),
      predicted_long=arm("predicted", epochs=12),
    ),
    "same_budget": False,
    "claim": "some share of the mass saves 35 % of the FLOPs within 0.015 of "
    "the dense network",
  }
