"""KD++ with a student of half the teacher's widths, Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/distill/nd_kd_half.py
          --workdir DIR
Sizes:  as nd_kd.py (5,000 training images, teacher ConvNet of widths 32, 64),
        but a student of widths 16, 32, the paper's augmentation (crops and
        flips) and 30 epochs each; 5 seeds. Nothing was tuned.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("nd_kd.py")))
  base = base["get_experiment"]()
  half = lambda text: text.replace("(8, 16)", "(16, 32)")
  arms = {
    name: {**arm, "set": tuple(half(text) for text in arm["set"])}
    for name, arm in base["arms"].items()
    if name != "norm_direction"
  }
  augment = (dict(name="random_crop", padding=2), dict(name="random_flip"))
  more = (f"scenario.augment={augment}", "total_epochs=30")
  return {**base, "arms": arms, "set": (*base["set"], *more)}
