"""How many experts the gates of comet_moe.py use on test examples.

Run:  python experiments/core/comet_moe_gates.py --runs DIR

Share of test examples with at most k weights above 0, and the largest gap of
the weights' sum to 1. Means and standard deviations over the seeds.
"""

import argparse
import json
import pathlib

import jax
import numpy as np

from jaxcls import engine

RESULTS = pathlib.Path(__file__).with_suffix(".json")


def measure(workdir: pathlib.Path) -> dict[str, float]:
  """The measures of one run."""
  run = engine.load_run(str(workdir))
  source = run.stage.evals["test"]
  x = source.fetch(source.ids)["x"]
  out = jax.jit(lambda x: run.net(run.state.params, run.state.stats, x)[0])
  gate = np.asarray(out(x)["gate"])
  used = (gate > 0).sum(axis=1)
  return {
    "at_most_k": float((used <= 2).mean()),
    "experts_used": float(used.mean()),
    "largest_gap": float(np.abs(gate.sum(axis=1) - 1).max()),
    "parameters": float(sum(p.size for p in run.state.params.values())),
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
      print(f"{arm.name:12} {name:12} {entry['mean']:.6g} {entry['std']:.3g}")
  RESULTS.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
  main()
