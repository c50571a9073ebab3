"""As ins_mil.py, but half of a positive bag is positive.

Run:    jaxcls compare --experiment experiments/bags/ins_mil_half.py \
            --workdir DIR
Sizes:  200 training, 50 validation, 100 test bags of 10 to 50 images shrunk to
        14 x 14, half of them with sneakers, 50 % of the bag; ConvNet of
        widths 16, 32; 4 bags a step, 30 epochs (900 steps), 8 seeds.

The learning rate was to be the best of (0.001, 0.003) for each arm on the
validation bags' AUC at 20 % with seed 100: 0.001 is as good in all three. INS's
bag term pools by the maximum: the mean was worse on them at 5 %.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("ins_mil.py")))
  return base["get_experiment"](rate=0.5)
