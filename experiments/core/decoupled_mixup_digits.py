"""Decoupled mixup against mixup, scikit-learn's digits.

Run:    jaxcls compare --experiment experiments/core/decoupled_mixup_digits.py \
            --workdir DIR
Then:   python experiments/core/decoupled_mixup_pairs.py --runs DIR
Sizes:  1,293 training, 144 validation and 360 test images of 8 x 8 pixels,
        ConvNet of widths 16, 32, 40 epochs, 5 seeds.

The paper's constants. The learning rate was chosen for each arm on val, seed
100, out of 0.001, 0.003, 0.01; 0.001 and 0.01 tie for decoupled mixup, the
latter with the lower loss.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(
    str(pathlib.Path(__file__).with_name("decoupled_mixup.py"))
  )
  base = base["get_experiment"]()
  rates = dict(none=0.01, mixup=0.001, decoupled_mixup=0.01)
  more = lambda arm, lr: {
    **arm, "set": (*arm["set"], f"schedule.peak_lr={lr}")
  }  # fmt: skip
  data = (
    "scenario.source='digits'",
    "scenario.subset=None",
    "scenario.val_fraction=0.1",
    "scenario.preprocess=({'name': 'normalize', 'mean': (0.305,), "
    "'std': (0.376,)},)",
    "batch_size=64",
    "total_epochs=40",
  )
  return {
    **base,
    "arms": {name: more(base["arms"][name], lr) for name, lr in rates.items()},
    "set": (*base["set"], *data),
  }
