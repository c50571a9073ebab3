"""How much the first-layer filters of filter_design.py repeat one another.

Run:  python experiments/core/filter_design_kernels.py --runs DIR

Mean and largest over the filters of the largest |cos| with another one, and the
effective rank of the 8 filters, after training. Means and standard deviations
over the seeds.
"""

import argparse
import json
import pathlib

import numpy as np

from jaxcls import engine, evaluation

RESULTS = pathlib.Path(__file__).with_suffix(".json")


def measure(workdir: pathlib.Path) -> dict[str, float]:
  """The measures of one run."""
  kernel = engine.load_run(str(workdir)).state.params["convs/0/kernel"]
  cosines = np.asarray(evaluation.filter_redundancy(kernel))
  return {
    "mean_cosine": float(cosines.mean()),
    "largest_cosine": float(cosines.max()),
    "effective_rank": float(evaluation.effective_rank(kernel)),
  }


def main() -> None:
  """Measures every run and writes the table beside this file."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--runs", required=True)
  table = {}
  for arm in sorted(pathlib.Path(parser.parse_args().runs).iterdir()):
    rows = [measure(run) for run in sorted(arm.glob("seed*"))]
    for name in rows[0] if rows else ():
      values = [row[name] for row in rows]
      entry = {"values": values, "mean": float(np.mean(values))}
      entry["std"] = float(np.std(values, ddof=1))
      table.setdefault(arm.name, {})[name] = entry
      print(f"{arm.name:16} {name:14} {entry['mean']:.4f} {entry['std']:.4f}")
  RESULTS.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
  main()
