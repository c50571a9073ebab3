"""How many experts the gates of a comet experiment use on test examples.

Run:  python experiments/core/comet_moe_gates.py --runs DIR
      (DIR: the workdir of comet_moe.py or comet_moe_digits.py; the results are
      written to <name of DIR>_gates.json beside this file)

Share of test examples with at most k weights above 0, and the largest gap of
the weights' sum to 1. Means and standard deviations over the seeds.
"""

import argparse
import json
import pathlib

import jax
import numpy as np

from jaxcls import data, engine

HERE = pathlib.Path(__file__).resolve().parent


def measure(workdir: pathlib.Path) -> dict[str, float]:
  """The measures of one run."""
  run = engine.load_run(str(workdir))
  source = run.stage.evals["test"]
  x = data.inputs(run.transform(source.fetch(source.ids)))
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
  runs = pathlib.Path(parser.parse_args().runs)
  for arm in sorted(path for path in runs.iterdir() if path.is_dir()):
    rows = [measure(run) for run in sorted(arm.glob("seed*"))]
    for name in rows[0] if rows else ():
      values = [row[name] for row in rows]
      entry = {"values": values, "mean": float(np.mean(values))}
      entry["std"] = float(np.std(values, ddof=1))
      table.setdefault(arm.name, {})[name] = entry
      print(f"{arm.name:12} {name:12} {entry['mean']:.6g} {entry['std']:.3g}")
  results = HERE / f"{runs.name}_gates.json"
  results.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
  main()
