"""Every config at its full size compiled for a slice of TPU v5e chips.

Run:  python experiments/bench/preflight.py [config ...]
      (needs `pip install "jaxcls[tpu]"`, no accelerator)

The training step of every phase, with its shardings, optimiser and
augmentation, for the smallest of 4, 16 and 256 chips that holds it.
preflight.json keeps the peak memory of a chip, the FLOPs of a step, its
estimated time and what bounds it; it is written after each config, and a config
whose text did not change is not compiled again. Exits with 1 if something did
not compile or fits on no slice.
"""

import hashlib
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = HERE / "preflight.json"
SLICES = ("v5e:2x2", "v5e:4x4", "v5e:16x16")


def compile_phases(path):
  """One dict a phase, of the smallest slice that holds them all."""
  from jaxcls import engine

  config = engine.load_config(f"{path}:full")
  for target in SLICES:
    found = engine.preflight(config, target=target)
    if all(phase.fits for phase in found):
      break
  return [
    dict(
      phase=phase.phase,
      target=target,
      fits=phase.fits,
      peak_mib=round(phase.needed_bytes / 2**20, 1),
      gflop=round(phase.flops.total / 1e9, 3),
      step_ms=round(phase.estimate.step_seconds * 1e3, 3)
      if phase.fits
      else None,
      bound_by=phase.estimate.bound if phase.fits else None,
      compile_seconds=round(phase.compile_seconds, 1),
    )
    for phase in found
  ]


def main(paths):
  """Compiles what changed, each config in a process of its own."""
  results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
  every = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("configs/**/*.py"))
  failed = []
  for path in paths or every:
    digest = hashlib.sha256((ROOT / path).read_bytes()).hexdigest()[:12]
    if results.get(path, {}).get("config_sha256") != digest:
      command = [sys.executable, __file__, "--one", path]
      run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
      if run.returncode:
        failed.append(path)
        print(f"{path}: {run.stderr.strip().splitlines()[-1]}", flush=True)
        continue
      phases = json.loads(run.stdout.splitlines()[-1])
      results[path] = dict(config_sha256=digest, phases=phases)
      text = json.dumps(results, indent=1, sort_keys=True) + "\n"
      RESULTS.write_text(text)
    for phase in results[path]["phases"]:
      print(
        f"{path:44} {phase['phase'] or 'train':12} {phase['target']:10} "
        f"{phase['peak_mib']:10.1f} MiB {phase['gflop']:12.1f} GFLOP "
        f"{phase['step_ms'] or float('nan'):9.3f} ms, {phase['bound_by']}",
        flush=True,
      )
      if not phase["fits"]:
        failed.append(path)
  print(f"failed: {', '.join(failed) or 'none'}")
  return int(bool(failed))


if __name__ == "__main__":
  if sys.argv[1:2] == ["--one"]:
    print(json.dumps(compile_phases(sys.argv[2])))
  else:
    sys.exit(main(sys.argv[1:]))
