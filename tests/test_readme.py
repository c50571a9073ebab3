import dataclasses
import pathlib
import re
import shlex

import jax
import jax.numpy as jnp

from jaxcls import cli, learners, losses

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
  return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_python_blocks_run():
  found = blocks("python")
  assert len(found) == 2
  names = dict(dataclasses=dataclasses, losses=losses, learners=learners)
  for block in found:
    exec(block, names)  # noqa: S102
  assert names["per_example"].shape == (1,)
  assert names["gradient"].shape == (1, 3)
  # The learner of the README trains.
  learner = names["ConfidencePenalty"](weight=0.1)
  loss, aux = learner.loss(
    lambda params, stats, x, **kw: ({"logits": x @ params}, stats),
    jnp.eye(3), learners.Aux({}), {"image": jnp.eye(3),
    "label": jnp.arange(3)}, jax.random.key(0),
  )  # fmt: skip
  assert jnp.isfinite(loss) and isinstance(aux, learners.Aux)


def test_commands_parse_and_name_real_files():
  lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
  parts = [part for line in lines for part in line.split("&&")]
  parts = [shlex.split(part, comments=True) for part in parts]
  commands = [p for p in parts if p and p[0] == "jaxcls"]
  assert len(commands) >= 7
  for command in commands:
    options = cli._parser().parse_args(command[1:])
    given = getattr(options, "config", None) or []
    for path in [given] if isinstance(given, str) else given:
      assert path == "CONFIG" or (ROOT / path).is_file(), path


def test_the_ci_command_is_the_readmes():
  found = re.findall(r"^pip install .*pytest.*$", README, re.MULTILINE)
  assert len(found) == 1
