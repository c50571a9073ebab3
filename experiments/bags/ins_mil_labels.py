"""Do INS's pseudo-labels grow better while it trains?

Run:    python experiments/bags/ins_mil_labels.py --workdir DIR
Sizes:  the arm "ins" of ins_mil.py with 5, 20 and 50 % of a positive bag
        positive, 3 seeds, 900 steps; the table of pseudo-labels every 90.

Of the examples of positive training bags: the share whose larger pseudo-label
is the true one, and the area under the ROC curve of the soft label. The truth
is read here alone. Before step 150 a label is the bag's: accuracy is then the
share of positives, and the area 0.5. Nothing was chosen here.
"""

import argparse
import json
import pathlib
import runpy

import jax
import numpy as np
from sklearn import metrics

from jaxcls import data, engine

HERE = pathlib.Path(__file__).resolve()
RATES, SEEDS, EVERY = (0.05, 0.2, 0.5), (0, 1, 2), 90


def measure(run: pathlib.Path, step: int, truth: np.ndarray):
  """Accuracy and area of one checkpoint's table, in positive bags."""
  loaded = engine.load_run(str(run), checkpoint=str(step))
  source = loaded.stage.streams["train"].source
  rows = source.ids[source.all_labels[source.ids] == 1]
  table = np.asarray(jax.device_get(loaded.state.memory["pseudo_labels"]))[rows]
  drawn = table[:, 0] >= 0
  table, own = table[drawn], truth[rows][drawn]
  return {
    "accuracy": float((table.argmax(axis=1) == own).mean()),
    "area": float(metrics.roc_auc_score(own, table[:, 1])),
    "positives": float(own.mean()),
  }


def main() -> None:
  """Trains, measures, and writes the table beside this file."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--workdir", required=True)
  workdir = pathlib.Path(parser.parse_args().workdir)
  experiment = runpy.run_path(str(HERE.with_name("ins_mil.py")))
  experiment = experiment["get_experiment"]()
  ins = experiment["arms"]["ins"]
  for rate in RATES:
    engine.compare(
      {"ins": ins}, workdir=str(workdir / f"rate_{rate}"), seeds=SEEDS,
      metric=experiment["metric"],
      set=(
        *experiment["set"],
        f"scenario.positive_rate={rate}",
        f"checkpoint={{'every_steps': {EVERY}, 'keep': 20}}",
      ),
    )  # fmt: skip
  source = data.load_source("fashion_mnist")
  truth = (source.all_labels == 7).astype(int)
  table = {}
  for rate in RATES:
    arm = f"rate_{rate}"
    for step in range(EVERY, 892, EVERY):
      runs = [workdir / arm / "ins" / f"seed{seed}" for seed in SEEDS]
      rows = [measure(run, step, truth) for run in runs]
      values = {name: [row[name] for row in rows] for name in rows[0]}
      table.setdefault(arm, {})[step] = values
      means = {name: f"{np.mean(v):.4f}" for name, v in values.items()}
      print(arm, step, means, flush=True)
  HERE.with_suffix(".json").write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
  main()
