"""Runs the committed experiments again, one after another.

Run:  python experiments --workdir DIR [name ...] [--publish]

A name is a file of experiments/<family>/ without its ending; none means all.
What is finished is not run again, what was stopped goes on. Prints how long
each took. The benches of experiments/bench are not among them.
"""

import argparse
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def find(names):
  """The experiment files, all or those named."""
  files = {
    path.stem: path
    for path in sorted(HERE.glob("*/*.py"))
    if "def get_experiment" in path.read_text()
  }
  for name in names:
    if name not in files:
      raise SystemExit(
        f"experiment must be one of {', '.join(files)}, got {name!r}."
      )
  return [files[name] for name in names or files]


def main():
  """The command; 1 if an experiment failed."""
  parser = argparse.ArgumentParser(prog="python experiments")
  parser.add_argument("names", nargs="*")
  parser.add_argument("--workdir", required=True)
  parser.add_argument("--publish", action="store_true")
  options = parser.parse_args()
  chosen, failed = find(options.names), []
  begin = time.perf_counter()
  for i, path in enumerate(chosen):
    name = f"{path.parent.name}/{path.stem}"
    print(f"[{i + 1}/{len(chosen)}] {name}", flush=True)
    start = time.perf_counter()
    command = [
      sys.executable, "-c",
      "import sys; from jaxcls import cli; sys.exit(cli.main())",
      "compare", "--experiment", str(path.relative_to(HERE.parent)),
      "--workdir", str(pathlib.Path(options.workdir).absolute() / name),
    ]  # fmt: skip
    command += ["--publish"] if options.publish else []
    if subprocess.run(command, cwd=HERE.parent).returncode:
      failed.append(name)
    print(f"{name}: {(time.perf_counter() - start) / 60:.1f} minutes")
  print(f"all: {(time.perf_counter() - begin) / 60:.1f} minutes")
  if failed:
    print(f"failed: {', '.join(failed)}")
  return int(bool(failed))


if __name__ == "__main__":
  sys.exit(main())
