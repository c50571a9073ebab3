"""Condensed training sets after the papers' number of rounds; digits.

Run:    jaxcls compare --experiment experiments/meta/dcc_rounds.py --workdir DIR
Sizes:  10 images a class of the 1,437 training images of digits, 360 test
        images; MLP of two layers of 128 units; 64 real images a class; 8
        seeds. 1,000 rounds of 10 steps, class-wise matching for the first 250:
        the released code's, ten times those of dcc_digits.py. A network trained
        for 300 steps on the images alone is tested.

DCC's loss is one distance where DC's is a sum over the classes, so at the same
rate its images move more slowly: hence all the rounds. Nothing was tuned.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("dcc_digits.py")))
  base = base["get_experiment"]()
  arms = {name: base["arms"][name] for name in ("random_10", "dc_10", "dcc_10")}
  late = ("learner.outer_warmup=250",)
  arms["dcc_10"] = {**arms["dcc_10"], "set": (*arms["dcc_10"]["set"], *late)}
  return {**base, "arms": arms, "set": (*base["set"], "total_steps=10000")}
