"""FLOPs that the gates save, foreseen and measured, and how well they predict.

Run:  python experiments/core/ftwt_flops.py --runs DIR
      (DIR: the workdir of ftwt.py or ftwt_mass.py; the results are written to
      <name of DIR>_flops.json beside this file)

Multiplications of the three convolutions on the test images: a filter that is
off is not computed, and the next convolution does not read it. Foreseen: with
the masks that the dense network's own activations ask for on the training
images, before any gate is trained. The predictors themselves (a pooled vector
through 32 units) are left out.
"""

import argparse
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import data, engine, losses

HERE = pathlib.Path(__file__).resolve().parent
# Positions of each convolution's output at 14 pixels: pooling comes after it.
POSITIONS = (14 * 14, 7 * 7, 3 * 3)


def multiplications(params, kept2, kept3):
  """Mean over images, with masks [n f] of the second and third stage."""
  sizes = [np.prod(params[f"convs/{i}/kernel"].shape) for i in range(3)]
  one, two, three = (s * p for s, p in zip(sizes, POSITIONS, strict=True))
  a, b = kept2.mean(axis=1), kept3.mean(axis=1)
  return float(np.mean(one + a * two + a * b * three))


def outputs(folder, split, count=None):
  """{output: [n f]} of a run on a split."""
  run = engine.load_run(str(folder))
  source = data.load_source("fashion_mnist", split)
  call = jax.jit(lambda x: run.net(run.state.params, run.state.stats, x)[0])
  names = [f"stage{i}_{k}" for i in (2, 3) for k in ("mass", "mask")]
  chunks = []
  for ids in np.array_split(source.ids[:count], 10):
    out = call(run.transform(source.fetch(ids))["image"])
    chunks.append({k: np.asarray(out[k]) for k in names})
  return run, {k: np.concatenate([c[k] for c in chunks]) for k in names}


def main():
  """Prints and writes a line for each arm and seed."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--runs", required=True)
  runs, found = pathlib.Path(parser.parse_args().runs), {}
  wanted = lambda mass, ratio: np.asarray(
    losses.top_mass_targets(jnp.asarray(mass), ratio=ratio)
  )
  arms = sorted(p.name for p in runs.iterdir() if (p / "seed0").is_dir())
  ratios = {}
  for arm in (arm for arm in arms if arm != "dense"):
    for seed in range(3):
      run, out = outputs(runs / arm / f"seed{seed}", "test")
      params = run.state.params
      ones = np.ones((1, 1))
      whole = multiplications(params, ones, ones)
      saved = (
        1
        - multiplications(params, out["stage2_mask"], out["stage3_mask"])
        / whole
      )
      line = dict(saved=saved)
      if arm.startswith("predicted"):
        ratios[arm] = ratio = run.learner.ratio
        masks = {i: wanted(out[f"stage{i}_mass"], ratio) for i in (2, 3)}
        right = [(out[f"stage{i}_mask"] == masks[i]).mean() for i in (2, 3)]
        # The better constant of each filter.
        always = [
          np.maximum(masks[i].mean(0), 1 - masks[i].mean(0)).mean()
          for i in (2, 3)
        ]
        line |= dict(
          mask_accuracy=float(np.mean(right)), majority=float(np.mean(always))
        )
      found.setdefault(arm, []).append(line)
  for seed in range(3):
    # The dense arm's first phase is that of all arms with the same seed.
    run, out = outputs(runs / "dense" / f"seed{seed}", "train", 5000)
    ones = np.ones((1, 1))
    whole = multiplications(run.state.params, ones, ones)
    for arm, ratio in ratios.items():
      masks = [wanted(out[f"stage{i}_mass"], ratio) for i in (2, 3)]
      saved = 1 - multiplications(run.state.params, *masks) / whole
      found.setdefault(f"{arm}, foreseen", []).append(dict(saved=saved))
  for arm, lines in found.items():
    print(
      arm, {k: np.round([x[k] for x in lines], 4).tolist() for k in lines[0]}
    )
  results = HERE / f"{runs.name}_flops.json"
  results.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
  main()
