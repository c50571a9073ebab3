"""SMMix without each of its three losses.

Run:    jaxcls compare --experiment experiments/core/smmix_ablation.py \
            --workdir DIR
Sizes:  those of smmix.py, 3 seeds.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("smmix.py")))
  experiment = base["get_experiment"]()
  smmix = experiment["arms"]["smmix"]
  without = lambda name: {
    **smmix, "set": (*smmix["set"], f"learner.{name}_weight=0.0")
  }  # fmt: skip
  names = ("class", "region", "consistency")
  return {
    **experiment,
    "arms": {
      "smmix": smmix, **{f"without_{name}": without(name) for name in names},
    },
    "also": (),
    "baseline": "smmix",
    "claim": "each loss taken away lowers the mean accuracy or ties",
  }  # fmt: skip
