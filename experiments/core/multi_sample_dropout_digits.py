"""As multi_sample_dropout.py, on scikit-learn's digits.

Run:    jaxcls compare --workdir DIR \
            --experiment experiments/core/multi_sample_dropout_digits.py
Sizes:  1,437 training images of 8 x 8, 360 test images, 15 epochs, 5 seeds.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = pathlib.Path(__file__).with_name("multi_sample_dropout.py")
  base = runpy.run_path(str(base))["get_experiment"]()
  data = (
    "scenario.source='digits'",
    "scenario.subset=None",
    "scenario.val_fraction=0.0",
    "scenario.preprocess=()",
    "batch_size=64",
    "total_epochs=15",
  )
  return {**base, "set": (*base["set"], *data)}
