"""The command line: jaxcls train | eval | preflight | compare | report | ..."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs a command; returns the exit status.

  0: done, or stopped on request with a complete checkpoint. 1: the answer is
  no (preflight: does not fit). 2: bad input, told in one line. 3: diverged.
  """
  options = _parser().parse_args(arguments)
  try:
    return options.run(options) or 0
  except KeyboardInterrupt:
    return 130
  except Exception as error:
    status = _status(error)
    if status is None or os.environ.get("JAXCLS_TRACEBACK"):
      raise
    print(f"jaxcls {options.command}: {error}", file=sys.stderr)
    return status


def _status(error: Exception) -> int | None:
  """Exit status of an error that is the user's to mend; None: a bug."""
  from jaxcls import engine

  if isinstance(error, engine.Stopped):
    return 0
  if isinstance(error, engine.Diverged):
    return 3
  return 2 if isinstance(error, ValueError | OSError) else None


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="jaxcls",
    description="Train, compare and explain classifiers.",
    epilog="JAXCLS_TRACEBACK=1 shows where an error was raised.",
  )
  commands = parser.add_subparsers(dest="command", required=True)
  for name, run, add in (
    ("train", _train, _add_train),
    ("eval", _eval, _add_eval),
    ("preflight", _preflight, _add_preflight),
    ("compare", _compare, _add_compare),
    ("report", _report, _add_report),
    ("systems", _systems, _add_systems),
  ):
    text = run.__doc__
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    add(command)
  return parser


def _add_config(parser):
  parser.add_argument(
    "--config",
    required=True,
    metavar="FILE[:smoke]",
    help="Python file with get_config(mode)",
  )
  parser.add_argument(
    "overrides",
    nargs="*",
    metavar="FIELD=VALUE",
    help="such as seed=1 schedule.peak_lr=0.01",
  )


def _add_train(parser):
  _add_config(parser)
  parser.add_argument("--workdir", required=True, help="run folder")
  parser.add_argument(
    "--coordinator",
    metavar="HOST:PORT",
    help="several processes: address of process 0; 'auto' on a cluster that "
    "JAX knows (TPU pods, Slurm)",
  )
  parser.add_argument("--num-processes", type=int)
  parser.add_argument("--process-id", type=int)


def _train(options) -> None:
  """Train a config in a run folder; goes on where it stopped."""
  _start_jax(options)
  import jax

  from jaxcls import engine

  config = engine.load_config(options.config, options.overrides)
  record = engine.train(config, options.workdir)
  if jax.process_index() == 0:
    shown = [f"{k} {v:.4f}" for k, v in record.items() if isinstance(v, float)]
    print(f"{options.workdir}: done at step {record['step']}, "
          f"{', '.join(shown)}")  # fmt: skip


def _start_jax(options=None) -> None:
  """Turns the compilation cache on and joins the other processes."""
  import jax
  from absl import logging

  logging.set_verbosity(logging.ERROR)  # orbax narrates every save.
  if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    home = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    folder = os.path.join(home, "jaxcls", "compilation")
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
  coordinator = getattr(options, "coordinator", None)
  if coordinator == "auto":
    jax.distributed.initialize()
  elif coordinator:
    jax.distributed.initialize(
      coordinator, options.num_processes, options.process_id
    )


def _add_eval(parser):
  parser.add_argument("--workdir", required=True, help="finished run folder")
  parser.add_argument(
    "--checkpoint",
    default="last",
    metavar="last|best|STEP",
    help="which weights (default: last)",
  )
  parser.add_argument(
    "overrides",
    nargs="*",
    metavar="FIELD=VALUE",
    help="such as evaluation.metrics=('accuracy','macro_f1')",
  )


def _eval(options) -> None:
  """Evaluate a checkpoint of a run again, with other metrics if asked."""
  _start_jax()
  from jaxcls import engine

  record = engine.evaluate_run(
    options.workdir, checkpoint=options.checkpoint, overrides=options.overrides
  )
  for name, value in record.items():
    shown = f"{value:.6g}" if isinstance(value, float) else value
    print(f"{name:40} {shown}")


def _add_preflight(parser):
  _add_config(parser)
  parser.add_argument(
    "--target",
    default="v5e:4x4",
    help="v5e:4x4, v6e:8x8, v5p:4x4x4, h100:8, ... (default: v5e:4x4)",
  )
  parser.add_argument(
    "--effort",
    type=float,
    default=-1.0,
    help="TPU compiler's effort in [-1, 1]; -1 (default) compiles fastest",
  )
  parser.add_argument(
    "--json", metavar="FILE", help="also write everything to a JSON file"
  )


def _preflight(options) -> int:
  """Compile a config's real step for a slice; exit 1 if it does not fit."""
  from jaxcls.engine import _preflight_table

  return _preflight_table.main(
    options.config,
    options.overrides,
    options.target,
    options.effort,
    options.json,
  )


def _add_compare(parser):
  parser.add_argument(
    "--config", nargs="+", metavar="[ARM=]FILE", help="one arm a config"
  )
  parser.add_argument(
    "--experiment", metavar="FILE", help="a file that defines arms and seeds"
  )
  parser.add_argument("--workdir", required=True, help="folder of all runs")
  parser.add_argument(
    "--publish",
    action="store_true",
    help="also put results beside the experiment file (.json, .png)",
  )
  parser.add_argument(
    "--seeds", type=int, nargs="+", default=None, help="default: 0 1 2"
  )
  parser.add_argument(
    "--vary",
    action="append",
    default=[],
    metavar="FIELD=V1;V2",
    help="one arm a value, on the one config",
  )
  parser.add_argument(
    "--set",
    action="append",
    default=[],
    metavar="FIELD=VALUE",
    help="override in every arm",
  )
  parser.add_argument("--metric", default=None, help="default: test/accuracy")


def _compare(options) -> None:
  """Run arms x seeds under one budget; table, results.json and plot."""
  _start_jax()
  from jaxcls import engine

  if options.experiment:
    experiment = engine.load_experiment(options.experiment)
  elif options.config:
    experiment = {"arms": _arms(options)}
  else:
    raise engine.ConfigError(
      "compare must be given --config or --experiment, got neither."
    )
  if options.seeds:
    experiment["seeds"] = options.seeds
  if options.metric:
    experiment["metric"] = options.metric
  experiment["set"] = (*experiment.get("set", ()), *options.set)
  results = engine.compare(workdir=options.workdir, **experiment)
  engine.print_results(results)
  if options.publish and options.experiment:
    stem = os.path.splitext(options.experiment)[0]
    for suffix in (".json", ".png"):
      found = os.path.join(options.workdir, f"results{suffix}")
      shutil.copyfile(found, stem + suffix)


def _arms(options) -> dict:
  """Arms of --config (named or by file) and --vary."""
  arms = {}
  for text in options.config:
    name, _, path = text.rpartition("=")
    stem = os.path.splitext(os.path.basename(path.split(":")[0]))[0]
    arms[name or stem] = {"config": path}
  for vary in options.vary:
    field, _, values = vary.partition("=")
    arms = {
      f"{name}-{field.split('.')[-1]}={value}" if len(arms) > 1
      else f"{field.split('.')[-1]}={value}":
      {**arm, "set": (*arm.get("set", ()), f"{field}={value}")}
      for name, arm in arms.items()
      for value in values.split(";")
    }  # fmt: skip
  return arms


def _add_report(parser):
  parser.add_argument("workdirs", nargs="+", help="run folders")
  parser.add_argument(
    "--output", default="report.html", help="default: report.html"
  )


def _report(options) -> None:
  """Write one self-contained HTML page about one or more runs."""
  import jax

  # Another process may hold the accelerator: the run that is looked at.
  jax.config.update("jax_platforms", "cpu")
  from jaxcls import engine

  print(engine.report(options.workdirs, options.output))


def _add_systems(parser):
  parser.add_argument("--family")
  parser.add_argument("--paper", help="part of the title, or the arXiv id")
  parser.add_argument("--status", help="matched, deviates or derived")
  parser.add_argument("id", nargs="?", help="show one system whole")


def _systems(options) -> None:
  """List the systems that work, with configs and evidence."""
  from jaxcls import engine

  rows = engine.find_systems(
    id=options.id,
    family=options.family,
    paper=options.paper,
    status=options.status,
  )
  engine.print_systems(rows, whole=options.id is not None)


if __name__ == "__main__":
  sys.exit(main())
