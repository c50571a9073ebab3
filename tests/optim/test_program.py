import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import optim

LION = """
u = interp(g, m, 0.9)
m = interp(g, m, 0.99)
s = sign(u)
d = mul(w, 0.1)
s = add(s, d)
update = mul(s, lr)
"""
# Adam without bias correction and epsilon.
ADAM = """
g2 = square(g)
m = interp(g, m, 0.9)
v = interp(g2, v, 0.999)
r = sqrt(v)
u = div(m, r)
update = mul(u, lr)
"""


def run(tx, steps=5):
  w = {"a": jnp.array([1.0, -2.0, 0.5]), "b": jnp.array([[3.0]])}
  state, path = tx.init(w), []
  update = jax.jit(tx.update)
  for i in range(steps):
    grads = jax.tree.map(lambda p, i=i: jnp.sin(7.0 * p + i), w)
    step, state = update(grads, state, w)
    w = optax.apply_updates(w, step)
    path.append(w)
  return path


def test_lion_program_is_lion():
  got = run(optim.scale_by_program(0.01, program=LION))
  want = run(optim.lion(0.01, weight_decay=0.1))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), got, want)


def test_adam_program_by_hand_and_schedule():
  tx = optim.scale_by_program(lambda step: 0.1 / (1 + step), program=ADAM)
  w, g = jnp.array([1.0]), jnp.array([4.0])
  step, state = tx.update(g, tx.init(w), w)
  # m / sqrt(v) = 0.1 g / sqrt(0.001 g^2)
  np.testing.assert_allclose(step, [-0.1 * 0.1 / 0.001**0.5], rtol=1e-5)
  again, _ = tx.update(g, state, w)
  ratio = 0.19 / (1 - 0.999**2) ** 0.5
  np.testing.assert_allclose(again, [-0.05 * ratio], rtol=1e-4)


def test_works_from_a_config():
  tx = optim.make_optimizer(
    name="scale_by_program", learning_rate=0.1, program="update = mul(g, lr)"
  )
  w = {"kernel": jnp.ones((2, 2), jnp.bfloat16)}
  step, _ = tx.update(w, tx.init(w), w)
  assert step["kernel"].dtype == jnp.bfloat16
  np.testing.assert_allclose(step["kernel"], -0.1 * np.ones((2, 2)), rtol=1e-2)


def test_text_round_trip():
  program = optim.parse_program(ADAM)
  assert optim.parse_program(optim.format_program(program)) == program


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("update = cube(g)", "a statement must look like"),
    ("update = mul(g, q)", "set before it is used, got 'q'"),
    ("update = mul(g)", "mul must have 2 inputs"),
    ("m = mul(g, lr)", "must set update"),
  ],
)
def test_bad_programs(text, message):
  with pytest.raises(ValueError, match=message):
    optim.parse_program(text)


def test_dead_statements_go_and_memories_stay():
  live = optim.parse_program(ADAM)
  planted = optim.parse_program(
    "z = exp(w)\ny = add(z, 1)" + ADAM + "y = abs(update)\n"
  )
  assert optim.remove_dead_statements(planted) == live
  # A memory that no update ever reads is dead, though it is a result.
  useless = optim.parse_program("v = square(g)\nupdate = mul(g, lr)")
  assert len(optim.remove_dead_statements(useless)) == 1
  # One that the next step's update reads is not.
  late = optim.parse_program("update = mul(m, lr)\nm = interp(g, m, 0.9)")
  assert optim.remove_dead_statements(late) == late


def test_signature_tells_functions_apart():
  sign = lambda text: optim.program_signature(optim.parse_program(text))
  lion = sign(LION)
  assert lion == sign(LION.replace("mul(s, lr)", "mul(lr, s)"))
  assert lion != sign(LION.replace("0.99", "0.9"))
  assert lion != sign(ADAM)


def test_mutants_are_valid_and_of_every_kind():
  rng, program = np.random.default_rng(0), optim.parse_program(ADAM)
  lengths = set()
  for _ in range(200):
    child = optim.mutate_program(program, rng)
    assert optim.parse_program(optim.format_program(child))
    assert child != program
    lengths.add(len(child) - len(program))
  assert lengths == {-1, 0, 1}


def quadratic(program):
  """Loss of an ill-conditioned quadratic after 20 steps."""
  scale, w = np.array([1.0, 30.0]), np.array([1.0, 1.0])
  m = v = np.zeros(2)
  with np.errstate(all="ignore"):
    for _ in range(20):
      step, m, v = optim.run_program(program, w, scale * w, m, v, 0.02, xp=np)
      w = w - step
    return float((scale * w**2).sum())


def test_evolution_improves_and_repeats():
  start = optim.parse_program("update = mul(g, lr)")
  settings = dict(num_evaluations=150, population_size=20, tournament_size=5)
  found = optim.regularized_evolution(quadratic, start, seed=1, **settings)
  assert len(found) == 150
  assert found[0].value < 0.5 * quadratic(start)
  assert found[0].value == quadratic(found[0].program)
  again = optim.regularized_evolution(quadratic, start, seed=1, **settings)
  assert again[0] == found[0]


def test_simplify_keeps_the_value():
  clean = optim.parse_program(
    "a = abs(g)\nb = sign(g)\nc = mul(a, b)\nupdate = mul(c, lr)"
  )
  padded = optim.parse_program(
    optim.format_program(clean[:-1]) + "\nc = add(c, 0)\nupdate = mul(c, lr)"
  )
  short = optim.simplify_program(padded, quadratic)
  assert len(short) == 4
  assert quadratic(short) == quadratic(padded)
  with pytest.raises(ValueError, match="tolerance must be at least 0, got -1"):
    optim.simplify_program(clean, quadratic, tolerance=-1)


def test_funnel():
  programs = [
    optim.parse_program(f"x = mul(lr, {c})\nupdate = mul(g, x)")
    for c in (0.01, 1.0, 2.0, 100.0)
  ]
  size = lambda p: p[0].inputs[1]
  kept = optim.select_by_funnel(
    programs, [size, lambda p: -size(p)], keep=(3, 1)
  )
  assert kept[0].program == programs[2] and kept[0].value == -2.0
  with pytest.raises(ValueError, match="one keep for each evaluation"):
    optim.select_by_funnel(programs, [size], keep=(1, 2))


def test_bad_search_numbers():
  start = optim.parse_program(ADAM)
  with pytest.raises(ValueError, match="num_evaluations must be at least 1"):
    optim.regularized_evolution(quadratic, start, num_evaluations=0)
  with pytest.raises(ValueError, match="at most max_statements = 2"):
    optim.regularized_evolution(
      quadratic, start, num_evaluations=1, max_statements=2
    )
