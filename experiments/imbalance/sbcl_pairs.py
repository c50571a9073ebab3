"""SBCL, SupCon and cross-entropy with a hundred long-tailed classes.

Run:    jaxcls compare --experiment experiments/imbalance/sbcl_pairs.py
          --workdir DIR
Sizes:  pairs of overlapping digits of mnist5k, 14 x 22 pixels, 100 classes as
        in the paper's CIFAR-100-LT: 150 images of the largest class, 1 of the
        smallest, about 3,100 in all, 4,000 pairs of other digits to test.
        Network and rates of sbcl.py; 200 epochs of the representation, new
        subclasses every 10 of them after 10 of SupCon, then 10 of the
        classifier; ce: 210. 5 seeds. Nothing was tuned in any arm.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("sbcl.py")))
  experiment = base["get_experiment"]()
  # Both digits stay in sight, and none is mirrored.
  view = (
    dict(name="random_resized_crop", scale=(0.6, 1.0), ratio=(1.2, 2.0)),
    dict(name="color_jitter", brightness=0.4, contrast=0.4),
  )
  data = dict(
    source="mnist5k_pairs",
    subset=dict(name="long_tailed_subset", ratio=100, num_head=150),
    preprocess=(dict(name="normalize", mean=(0.2,), std=(0.35,)),),
  )
  changed = dict(views=(view, view), augment=view)

  def arm(name):
    phases = base["make_phases"](name)
    for phase in phases:
      own = {k: v for k, v in changed.items() if k in phase["scenario"]}
      phase["scenario"] |= data | own
    phases[0]["total_epochs"] += 170
    if name == "sbcl":
      phases[0]["learner"] |= dict(refresh_every_steps=120, warmup_steps=120)
    return {**experiment["arms"][name], "set": (f"phases={phases}",)}

  claim = (
    "SBCL + linear above SupCon + linear and above cross-entropy in balanced "
    "accuracy (ce has its 210 epochs in one phase)"
  )
  arms = {name: arm(name) for name in experiment["arms"]}
  return {**experiment, "arms": arms, "claim": claim}
