"""Runs the committed experiments again, one after another.

Run:  python experiments --workdir DIR [name ...] [--publish]

A name is <family>, <family>/<file> or <file>, without its ending; none means
all. A family is all of its experiments.
What is finished is not run again, what was stopped goes on. Says how long all
will take, from experiments/minutes.json (minutes on one CPU core), and how long
each took; --publish puts results and plots beside the files, and the minutes of
what was run from its beginning into that one. The benches of experiments/bench
are not among them.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
MINUTES = HERE / "minutes.json"


def find(names):
  """The experiment files, all or those named."""
  files = {
    f"{path.parent.name}/{path.stem}": path
    for path in sorted(HERE.glob("*/*.py"))
    if "def get_experiment" in path.read_text()
  }
  found = []
  for name in names:
    family = [full for full in files if full.split("/")[0] == name]
    match = [full for full in files if name in (full, full.split("/")[1])]
    if len(match) != 1 and not family:
      raise SystemExit(
        f"experiment must be one of {', '.join(match or files)}, got {name!r}."
      )
    found += family or match
  return [files[name] for name in dict.fromkeys(found or files)]


def forecast(names, minutes):
  """How long these take, as a sentence."""
  known = [minutes[name] for name in names if name in minutes]
  untimed = len(names) - len(known)
  more = f", {untimed} more were never timed" if untimed else ""
  return (
    f"{len(known)} experiments took {sum(known) / 60:.1f} hours of one core"
    f"{more}."
  )


def main():
  """The command; 1 if an experiment failed."""
  parser = argparse.ArgumentParser(prog="python experiments")
  parser.add_argument("names", nargs="*")
  parser.add_argument("--workdir", required=True)
  parser.add_argument("--publish", action="store_true")
  options = parser.parse_args()
  chosen, failed = find(options.names), []
  minutes = json.loads(MINUTES.read_text()) if MINUTES.exists() else {}
  names = [f"{path.parent.name}/{path.stem}" for path in chosen]
  print(forecast(names, minutes), flush=True)
  begin = time.perf_counter()
  for i, (name, path) in enumerate(zip(names, chosen, strict=True)):
    print(f"[{i + 1}/{len(chosen)}] {name}", flush=True)
    workdir = pathlib.Path(options.workdir).absolute() / name
    start, fresh = time.perf_counter(), not workdir.exists()
    command = [
      sys.executable, "-c",
      "import sys; from jaxcls import cli; sys.exit(cli.main())",
      "compare", "--experiment", str(path.relative_to(HERE.parent)),
      "--workdir", str(workdir),
    ]  # fmt: skip
    command += ["--publish"] if options.publish else []
    code = subprocess.run(command, cwd=HERE.parent).returncode
    passed = (time.perf_counter() - start) / 60
    print(f"{name}: {passed:.1f} minutes", flush=True)
    if code:
      failed.append(name)
    elif options.publish and fresh:
      minutes[name] = round(passed, 1)
      MINUTES.write_text(json.dumps(minutes, indent=1, sort_keys=True) + "\n")
  print(f"all: {(time.perf_counter() - begin) / 60:.1f} minutes")
  if failed:
    print(f"failed: {', '.join(failed)}")
  return int(bool(failed))


if __name__ == "__main__":
  sys.exit(main())
