"""Condensed training sets after the papers' number of rounds; MNIST.

Run:    jaxcls compare --experiment experiments/meta/dcc_rounds_mnist.py
          --workdir DIR
Sizes:  as dcc.py with 10 images a class (4,000 training images of mnist5k,
        1,000 test images, MLP of two layers of 128 units, 5 seeds), but 1,000
        rounds of 10 steps, class-wise matching for the first 250. Nothing was
        tuned.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("dcc.py")))
  base = base["get_experiment"]()
  arms = {name: base["arms"][name] for name in ("random_10", "dc_10", "dcc_10")}
  late = ("learner.outer_warmup=250",)
  arms["dcc_10"] = {**arms["dcc_10"], "set": (*arms["dcc_10"]["set"], *late)}
  return {**base, "arms": arms, "set": (*base["set"], "total_steps=10000")}
