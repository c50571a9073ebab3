"""IOMatch against FixMatch: twenty known classes, eighty that nobody named.

Run:    jaxcls compare --experiment experiments/semisup/iomatch_pairs.py
          --workdir DIR
Sizes:  pairs of overlapping digits of mnist5k, 14 x 22 pixels: known are the 20
        classes whose left digit is 0 or 1, the other 80 only among 19,000
        unlabelled pairs, as in the paper's CIFAR-20-80; 4 labels a known class;
        20 labelled and 140 unlabelled images a batch, 2,000 steps, 5 seeds
        (which also draw the labelled images); 4,000 pairs of other digits to
        test. Network, learning rate and thresholds of iomatch.py: FixMatch
        calls unknown what it is less than 0.5 or less than 0.95 sure of.
        Nothing was tuned.
"""

import pathlib
import runpy


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  base = runpy.run_path(str(pathlib.Path(__file__).with_name("iomatch.py")))
  base = base["get_experiment"]()
  dropped = (
    "scenario.source", "scenario.known", "scenario.subset", "scenario.weak",
    "scenario.strong", "scenario.preprocess", "scenario.labeled_batch_size",
    "model", "batch_size", "total_steps",
  )  # fmt: skip
  kept = [text for text in base["set"] if not text.startswith(dropped)]
  later = lambda text: text.replace(
    "'open_start_steps': 100", "'open_start_steps': 200"
  ).replace("'every_steps': 200", "'every_steps': 400")
  weak = (dict(name="random_crop", padding=2),)
  strong = (
    *weak,
    dict(name="rand_augment", num_ops=2, magnitude=8),
    dict(name="cutout", size=4),
  )
  model = dict(
    name="convnet", widths=(16, 32), hidden=64,
    heads=dict(
      projection=dict(width=64, hidden=(64,)),
      binary=dict(width=40, input="projection", bias=False),
      open=dict(width=21, input="projection"),
    ),
  )  # fmt: skip
  arms = {
    name: {**arm, "set": tuple(later(text) for text in arm["set"])}
    for name, arm in base["arms"].items()
    if name in ("fixmatch_4", "fixmatch_095_4", "filter_4", "iomatch_4")
  }
  more = (
    "scenario.source='mnist5k_pairs'",
    f"scenario.known_classes={tuple(range(20))}",
    "scenario.labeled_batch_size=20",
    f"scenario.weak={weak}",
    f"scenario.strong={strong}",
    "scenario.preprocess=({'name': 'normalize', 'mean': (0.2,), "
    "'std': (0.35,)},)",
    f"model={model}",
    "batch_size=20",
    "total_steps=2000",
  )
  set_ = (*(later(text) for text in kept), *more)
  return {**base, "arms": arms, "set": set_}
