"""GroCo against SimCLR for 100 epochs, the paper's shortest schedule.

Run:    jaxcls compare --experiment experiments/selfsup/groco_100.py \
            --workdir DIR
Sizes:  groco.py's, 100 epochs instead of 12, 3 seeds. Temperature and
        steepness are those chosen there.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("groco.py")))
  base = base["get_experiment"]()
  return {
    **base,
    "set": (*base["set"], "total_epochs=100"),
    "seeds": (0, 1, 2),
  }
