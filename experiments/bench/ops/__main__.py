"""All benches of jaxcls.ops in one run, then what they say of each aim.

Run:  python experiments/bench/ops [sorting contrastive spherical attention]
      python experiments/bench/ops summary        # of the committed results

Each bench runs in a process of its own, pinned to one core; their files say
what they need installed. About 40 minutes on one core, half of it the dense
layer of a million classes.
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BENCHES = ("sorting", "contrastive", "spherical", "attention")


def read(name):
  """The committed results of a bench."""
  return json.loads((HERE / f"{name}.json").read_text())


def sorting_rows():
  """Ratios diffsort / jaxcls, and the gradient's memory on a TPU."""
  results = read("sorting")
  ratio = {
    (r["network"], r["n"], r["form"], r["gradient"]): r["ratio"]
    for r in results["groco"] + results["sorts"]
  }
  net = "odd_even"
  yield "mass form, n = 64, over diffsort", ratio[net, 64, "mass", False], 30
  matrix = "permutation"
  yield "permutation, n = 64, over diffsort", ratio[net, 64, matrix, False], 15
  yield "  with backward", ratio[net, 64, matrix, True], 6
  groco = "groco", 11, "from cosines", True
  yield "GroCo value and gradient, n = 11", ratio[groco], 30
  for row in results["tpu_v5e_gradient_of_permutation"]:
    if (row["network"], row["n"]) == (net, 64):
      peak = row["peak_bytes"]
      yield "v5e peak, scan / kernel, n = 64", peak["scan"] / peak["kernel"], 40


def contrastive_rows():
  """SupCon at N = 4096 and 32k."""
  results = read("contrastive")
  time, memory = results["supcon"], results["memory"]
  both = time["fused both"]
  yield "SupCon with backward, over PML", time["pml both"] / both, 4
  yield "SupCon with backward, over naive", time["naive both"] / both, 1.2
  for target, aim in (("v5e:2x2", 25), ("h100:1", 50)):
    naive, fused = (memory[f"{target} 32k {x}"] for x in ("naive", "fused"))
    for kind in ("peak", "hbm"):
      yield (
        f"{target} 32k gradient, {kind}, naive / fused",
        naive[kind] / fused[kind],
        aim,
      )


def spherical_rows():
  """The guarded update over the dense one."""
  results = read("spherical")
  for classes, aim in (("100000", 80), ("1000000", 100)):
    ratio = results[classes]["guarded, lr D/1000 ratio"]
    yield f"{classes} classes, over log-softmax", ratio, aim


def attention_rows():
  """Local linear attention over softmax attention, and its memory."""
  results = read("attention")
  time, memory = results["cpu"], results["linear"]
  softmax = time["softmax forward"]
  linear = time["linear, 8 iterations forward"]
  yield "LLA forward, aim / (LLA / softmax)", 8 / (linear / softmax), 1
  stored = memory["v5e:2x2 all weights forward"]["peak"]
  kernel = memory["v5e:2x2 chosen forward"]["peak"]
  yield "v5e LLA forward, stored weights / Pallas", stored / kernel, 4


def main():
  """Runs the named benches, or all, and prints the summary."""
  chosen = sys.argv[1:] or BENCHES
  for name in chosen:
    if name in BENCHES:
      command = [sys.executable, str(HERE / f"{name}.py")]
      subprocess.run(command, check=True)
    elif name != "summary":
      raise SystemExit(f"bench must be one of {BENCHES}, got {name!r}.")
  print(f"{'':45} {'ratio':>8} {'aim':>6}")
  for name in BENCHES:
    for text, ratio, aim in globals()[f"{name}_rows"]():
      met = "met" if ratio >= aim else "MISSED"
      print(f"{text:45} {ratio:8.1f} {aim:6} {met}")


if __name__ == "__main__":
  main()
