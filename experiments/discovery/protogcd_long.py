"""ProtoGCD and SimGCD with five times the steps: six old classes, four new.

Run:    jaxcls compare --experiment experiments/discovery/protogcd_long.py
          --workdir DIR
Sizes:  as protogcd.py (10,000 images of Fashion-MNIST at 14 x 14, the same
        pretraining and learning rates), but 5,000 steps of discovery and the
        papers' ramps over as large a part of them; 5 seeds. Nothing was tuned.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("protogcd.py")))
  base = base["get_experiment"]()

  def longer(text):
    for key, steps in (
      ("total_steps", 1000),
      ("every_steps", 500),
      ("teacher_ramp_steps", 150),
      ("ratio_ramp_steps", 500),
    ):
      text = text.replace(f"'{key}': {steps}", f"'{key}': {5 * steps}")
    return text

  arms = {
    name: {**arm, "set": tuple(longer(text) for text in arm["set"])}
    for name, arm in base["arms"].items()
  }
  return {**base, "arms": arms, "seeds": (0, 1, 2, 3, 4)}
