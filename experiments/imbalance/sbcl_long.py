"""SBCL, SupCon and cross-entropy after 200 epochs, long-tailed Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/imbalance/sbcl_long.py
          --workdir DIR
Sizes:  as sbcl.py (2,478 images, imbalance 100, ConvNet of widths 16, 32, 5
        seeds), but 200 epochs of the representation where it has 30, new
        subclasses every 10 of them after 10 of SupCon as in the paper; ce: 210
        epochs. Nothing was tuned in any arm.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("sbcl.py")))
  experiment = base["get_experiment"]()

  def arm(name):
    first, *second = base["make_phases"](name)
    first["total_epochs"] += 170
    if name == "sbcl":
      first["learner"] |= dict(refresh_every_steps=90, warmup_steps=90)
    set_ = (f"phases={(first, *second)}",)
    return {**experiment["arms"][name], "set": set_}

  claim = (
    "SBCL + linear above SupCon + linear and above cross-entropy in balanced "
    "accuracy (ce has its 210 epochs in one phase)"
  )
  arms = {name: arm(name) for name in experiment["arms"]}
  return {**experiment, "arms": arms, "claim": claim}
