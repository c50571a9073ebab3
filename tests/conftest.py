import os
import pathlib
import tempfile

# Before jax: the suite needs four virtual devices and no accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
flags = os.environ.get("XLA_FLAGS", "")
if "host_platform_device_count" not in flags:
  os.environ["XLA_FLAGS"] = (
    f"{flags} --xla_force_host_platform_device_count=4".strip()
  )

CACHE = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(
  pathlib.Path(tempfile.gettempdir()) / "jaxcls-test-cache"
)
# Child processes (the command line, kill tests) inherit the same cache.
os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
