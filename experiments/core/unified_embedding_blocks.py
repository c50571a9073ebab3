"""Whether the first layer keeps features of a shared table apart.

Run:  python experiments/core/unified_embedding_blocks.py --runs DIR
      (DIR: the workdir of unified_embedding.py)

Each feature meets its own block of the first layer's kernel, [16 units]. Mean
absolute cosine between the blocks of two features, and between the column
spaces' projections of a shared row (each feature's block applied to the same
rows of the table), before and after training.
"""

import argparse
import itertools
import json
import pathlib

import jax
import numpy as np

from jaxcls import engine

RESULTS = pathlib.Path(__file__).with_suffix(".json")


def cosines(params, features=10):
  """Mean |cos| of blocks, and of what a table row becomes in two features."""
  kernel = np.asarray(params["layers/0/kernel"])
  blocks = kernel.reshape(features, -1, kernel.shape[-1])
  table = np.asarray(params["table"])
  seen = np.einsum("rd,tdu->tru", table, blocks)
  found = []
  for a, b in itertools.combinations(range(features), 2):
    flat = (blocks[a] * blocks[b]).sum() / (
      np.linalg.norm(blocks[a]) * np.linalg.norm(blocks[b])
    )
    rows = (seen[a] * seen[b]).sum(axis=1) / (
      np.linalg.norm(seen[a], axis=1) * np.linalg.norm(seen[b], axis=1)
    )
    found.append((abs(flat), np.abs(rows).mean()))
  return np.mean(found, axis=0)


def main():
  """Prints and writes means over seeds."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--runs", required=True)
  runs = pathlib.Path(parser.parse_args().runs)
  results = {}
  for rows in (500, 2000, 8000):
    before, after = [], []
    for seed in range(5):
      run = engine.load_run(str(runs / f"unified_{rows}" / f"seed{seed}"))
      before.append(cosines(run.net.init(jax.random.key(seed))[0]))
      after.append(cosines(run.state.params))
    results[rows] = dict(
      blocks=np.mean([before, after], axis=1)[:, 0].tolist(),
      rows=np.mean([before, after], axis=1)[:, 1].tolist(),
    )
    print(rows, results[rows])
  RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
  main()
