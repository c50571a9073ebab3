"""What a feasibility threshold does for CSP in the open world.

Run:  python experiments/vlm/csp_feasibility.py --runs DIR
      (DIR: the workdir of csp.py)

Every pair of the 48 competes. Unseen pairs whose `learners.pair_feasibility`,
measured between the learned words, is at most a threshold are never predicted;
of the thresholds that matter, and none at all, each seed takes the one with the
largest AUC on val, whose unseen pairs are not those of the test. 5 seeds.
"""

import argparse
import json
import pathlib

import jax
import numpy as np

from jaxcls import engine, evaluation, learners, models

RESULTS = pathlib.Path(__file__).with_suffix(".json")
NUM_OBJECTS, BATCH = 8, 200


def measure(folder: pathlib.Path) -> dict[str, float]:
  """AUC on test without and with the threshold that val chose."""
  run = engine.load_run(str(folder))
  seen, params = run.stage.seen, run.state.params
  grid, words = seen.reshape(-1, NUM_OBJECTS), params["text/soft_words"]
  rows = len(grid)
  scores = np.asarray(
    learners.pair_feasibility(words[:rows], words[rows:], grid)
  ).reshape(-1)
  call = jax.jit(lambda x: run.net(params, run.state.stats, x)[0]["logits"])

  def logits(split):
    source = run.stage.evals[split]
    chunks = np.array_split(source.ids, max(1, len(source) // BATCH))
    images = (run.transform(source.fetch(ids))["image"] for ids in chunks)
    return np.concatenate([call(x) for x in images]), source.labels

  held = {split: logits(split) for split in ("val", "test")}

  def auc(split, threshold):
    found, labels = held[split]
    found = models.mask_logits(found, seen | (scores > threshold))
    return float(
      evaluation.seen_unseen_auc(found, labels, seen=seen, world="open")
    )

  # Below the lowest score nothing is ruled out.
  thresholds = [-2.0, *np.sort(scores[~seen])[:-1]]
  best = max(thresholds, key=lambda t: auc("val", t))
  test_pairs = ~seen & np.isin(np.arange(len(seen)), held["test"][1])
  return {
    "none": auc("test", -2.0),
    "chosen": auc("test", best),
    "ruled_out": float((scores[~seen] <= best).mean()),
    "test_pairs_ruled_out": float((scores[test_pairs] <= best).mean()),
  }


def main() -> None:
  """Measures every seed and writes the table beside this file."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--runs", required=True)
  runs = pathlib.Path(parser.parse_args().runs) / "csp"
  found, table = [measure(runs / f"seed{seed}") for seed in range(5)], {}
  for name in found[0]:
    values = [row[name] for row in found]
    table[name] = {"values": values, "mean": float(np.mean(values))}
    table[name]["std"] = float(np.std(values, ddof=1))
    print(f"{name:21} {table[name]['mean']:.4f} {table[name]['std']:.4f}")
  gains = np.array([row["chosen"] - row["none"] for row in found])
  table["gain"] = {"values": gains.tolist(), "mean": float(gains.mean())}
  print(f"gain {gains.mean():.4f}", gains.round(4).tolist())
  RESULTS.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
  main()
