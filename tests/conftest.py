import importlib.metadata
import os
import pathlib
import tempfile

import pytest

# Before jax: the suite needs four virtual devices and no accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
flags = os.environ.get("XLA_FLAGS", "")
# Tiny programs, compiled once each: optimising them costs more than it saves.
if "backend_optimization_level" not in flags:
  flags = f"{flags} --xla_backend_optimization_level=0"
# XLA aborts at flags it does not know. Without this one of its code generators
# programs compile in less than half the time.
if importlib.metadata.version("jaxlib").startswith("0.10."):
  if "fusion_emitters" not in flags:
    flags = f"{flags} --xla_cpu_use_fusion_emitters=false"
if "host_platform_device_count" not in flags:
  flags = f"{flags} --xla_force_host_platform_device_count=4"
os.environ["XLA_FLAGS"] = flags.strip()

CACHE = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(
  pathlib.Path(tempfile.gettempdir()) / "jaxcls-test-cache"
)
# Child processes (the command line, kill tests) inherit the same cache.
os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

# Small enough to compile in seconds; batch statistics, dropout, EMA and
# augmentation make a resume that forgets anything visible.
TINY = dict(
  seed=3,
  total_steps=12,
  batch_size=16,
  log_every_steps=2,
  checkpoint=dict(every_steps=4, keep=2),
  scenario=dict(
    name="standard",
    source="fake",
    options=dict(shape=(8, 8, 1), num_classes=3, num_examples=96),
    val_fraction=0.25,
    augment=(dict(name="random_crop", padding=1),),
  ),
  model=dict(name="convnet", widths=(4,), hidden=8, dropout=0.2),
  learner=dict(name="supervised", ema_decay=0.9),
  optimizer=dict(name="adamw", weight_decay=1e-3, clip_norm=1.0),
  schedule=dict(name="cosine", peak_lr=0.01, warmup_steps=2),
  evaluation=dict(metrics=("accuracy",), every_steps=5),
  mesh=dict(data=-1),
)


@pytest.fixture(scope="session")
def tiny():
  """Returns make(**changes) -> complete config; "a.b" names a nested field."""

  from jaxcls import engine

  def make(**changes):
    config = engine.complete(TINY)
    for path, value in changes.items():
      *sections, last = path.split("__")
      node = config
      for section in sections:
        node[section] = dict(node[section])
        node = node[section]
      node[last] = value
    return engine.complete(config)

  return make
