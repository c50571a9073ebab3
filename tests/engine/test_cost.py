import math

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcls.engine import _cost, _hlo


def flops(f, *shapes):
  """FLOPs of f on arrays of these shapes; nothing is run."""
  arrays = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes]
  return _cost.count_flops(jax.jit(f).trace(*arrays).jaxpr).total


def conv(x, w, **kwargs):
  kwargs = {"window_strides": (1, 1), "padding": "VALID", **kwargs}
  numbers = ("NHWC", "HWIO", "NHWC")
  return jax.lax.conv_general_dilated(x, w, dimension_numbers=numbers, **kwargs)


MATMUL = 2 * 3 * 5 * 7


@pytest.mark.parametrize(
  ("f", "times"),
  [
    (jnp.matmul, 1),
    (jax.checkpoint(jnp.matmul), 1),
    (lambda x, w: jax.jit(jnp.matmul)(jnp.tanh(x), w), 1),
    (lambda x, w: jax.vmap(jnp.matmul, (0, None))(x, w), 1),
    (jax.grad(lambda x, w: jnp.tanh(x @ w).sum(), (0, 1)), 3),
    # The backward pass runs the product a second time, for tanh.
    (jax.grad(jax.checkpoint(lambda x, w: jnp.tanh(x @ w).sum()), (0, 1)), 4),
    (lambda x, w: jax.lax.scan(lambda c, _: (c, x @ w), 0, None, 11), 11),
    (lambda x, w: jax.lax.map(lambda _: x @ w, jnp.arange(6)), 6),
    (
      lambda x, w: jax.lax.fori_loop(
        0, 4, lambda i, y: y + x @ w, jnp.zeros((3, 7))
      ),
      4,
    ),
    (lambda x, w: jax.lax.cond(x[0, 0] > 0, lambda: x @ w, lambda: x @ w), 1),
  ],
)
def test_matmul_times(f, times):
  assert flops(f, (3, 5), (5, 7)) == times * MATMUL


def test_dear_branch_of_a_cond():
  cheap, dear = (lambda x: x), (lambda x: x @ x @ x)
  got = flops(lambda x: jax.lax.cond(x.sum() > 0, dear, cheap, x), (4, 4))
  assert got == 2 * 2 * 4**3


def test_custom_derivatives_count_their_own_products():
  square = jax.custom_vjp(lambda x: x @ x)
  square.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x @ x,))
  assert flops(square, (4, 4)) == 2 * 4**3
  gradient = jax.grad(lambda x: square(x).sum())
  assert flops(gradient, (4, 4)) == 3 * 2 * 4**3


def test_batched_dot():
  got = flops(
    lambda q, k: jnp.einsum("bthd,bshd->bhts", q, k), (2, 6, 3, 4), (2, 5, 3, 4)
  )
  assert got == 2 * (2 * 3) * 6 * 5 * 4


def test_while_of_unknown_length_counts_once_and_says_so():
  f = lambda x: jax.lax.while_loop(lambda y: y.sum() > 0, lambda y: y @ y, x)
  got = _cost.count_flops(jax.jit(f).trace(jnp.ones((4, 4))).jaxpr)
  assert got == _cost.Flops(2 * 4**3, 1)


def test_shard_map_counts_every_device():
  mesh = Mesh(jax.devices(), ("a",))
  f = jax.shard_map(
    jnp.dot, mesh=mesh, in_specs=(P("a"), P()), out_specs=P("a")
  )
  assert flops(f, (8, 5), (5, 7)) == 2 * 8 * 5 * 7


# Output side of a valid 3x3 convolution on 9 pixels: 7, with stride 2: 4.
@pytest.mark.parametrize(
  ("kwargs", "pairs"),
  [
    ({}, 7 * 3),
    ({"window_strides": (2, 2)}, 4 * 3),
    ({"rhs_dilation": (2, 2)}, 5 * 3),
    # Padded by one, the two border outputs see two pixels each.
    ({"padding": [(1, 1), (1, 1)]}, 7 * 3 + 2 * 2),
  ],
)
def test_conv(kwargs, pairs):
  got = flops(lambda x, w: conv(x, w, **kwargs), (2, 9, 9, 4), (3, 3, 4, 6))
  assert got == 2 * 2 * 4 * 6 * pairs**2


def test_grouped_conv_reads_only_its_group():
  grouped = lambda x, w: conv(x, w, feature_group_count=2)
  assert flops(grouped, (2, 9, 9, 4), (3, 3, 2, 6)) == 2 * 2 * 2 * 6 * 21**2


@pytest.mark.parametrize(
  ("kwargs", "kernel"),
  [
    ({}, (3, 3, 4, 6)),
    ({"window_strides": (2, 2)}, (3, 3, 4, 6)),
    ({"window_strides": (2, 2), "padding": "SAME"}, (3, 3, 4, 6)),
    ({"feature_group_count": 2}, (3, 3, 2, 6)),
  ],
)
def test_grad_of_conv_is_three_convs(kwargs, kernel):
  f = lambda x, w: conv(x, w, **kwargs)
  loss = lambda x, w: jnp.tanh(f(x, w)).sum()
  shapes = (2, 9, 9, 4), kernel
  assert flops(jax.grad(loss, (0, 1)), *shapes) == 3 * flops(f, *shapes)


@pytest.fixture(scope="module")
def mesh():
  return Mesh(jax.devices(), ("a",))


def hlo_of(mesh, f, in_specs, out_specs, *shapes):
  """What is read from f's program, compiled for the four CPU devices."""
  f = jax.shard_map(
    f, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
  )
  sharding = NamedSharding(mesh, in_specs)
  arrays = [
    jax.ShapeDtypeStruct(s, jnp.float32, sharding=sharding) for s in shapes
  ]
  text = jax.jit(f).lower(*arrays).compile().as_text()
  return _hlo.read_hlo(text, num_devices=mesh.size)


@pytest.mark.parametrize(
  ("f", "out", "kind", "payload", "sent"),
  [
    # 8 x 16 floats on each of 4 devices.
    (lambda x: jax.lax.psum(x, "a"), P(), "all-reduce", 512, 768),
    (
      lambda x: jax.lax.all_gather(x, "a", tiled=True),
      P(), "all-gather", 2048, 1536,
    ),
    (
      lambda x: jax.lax.psum_scatter(x, "a", tiled=True),
      P("a"), "reduce-scatter", 512, 384,
    ),
    (
      lambda x: jax.lax.ppermute(x, "a", [(i, (i + 1) % 4) for i in range(4)]),
      P("a"), "collective-permute", 512, 512,
    ),
  ],
)  # fmt: skip
def test_collectives_of_a_compiled_program(mesh, f, out, kind, payload, sent):
  got = hlo_of(mesh, f, P("a"), out, (32, 16)).collectives
  assert got == (_hlo.Collective(kind, 1, payload, sent),)


def test_collective_in_a_loop_counts_every_turn(mesh):
  def f(x):
    step = lambda c, _: (jnp.tanh(jax.lax.psum(c, "a")), None)
    return jax.lax.scan(step, x, None, length=5)[0]

  got = hlo_of(mesh, f, P("a"), P("a"), (32, 16))
  assert got.collectives == (_hlo.Collective("all-reduce", 5, 2560, 3840),)
  assert got.open_loops == 0


def test_no_collectives_no_rows(mesh):
  got = hlo_of(mesh, jnp.sin, P("a"), P("a"), (32, 16))
  assert got.collectives == ()
  # Read once, written once.
  assert got.hbm_bytes == 2 * 8 * 16 * 4


# As the TPU compiler writes it: no known_trip_count, memory spaces, groups as
# mesh axes, slices and in-place updates inside fusions.
TPU = """HloModule jit_step, is_scheduled=true

%sliced (p0: f32[12,128], p1: s32[]) -> f32[128] {
  %p0 = f32[12,128]{1,0:T(1,128)} parameter(0)
  %p1 = s32[]{:T(128)} parameter(1)
  %ds = f32[1,128]{1,0:T(1,128)} dynamic-slice(%p0, %p1), dynamic_slice_sizes={1,128}
  ROOT %bc = f32[128]{0:T(128)} bitcast(%ds)
}

%updated (p2: f32[12,128], p3: f32[128], p4: s32[]) -> f32[12,128] {
  %p2 = f32[12,128]{1,0:T(1,128)} parameter(0)
  %p3 = f32[128]{0:T(128)} parameter(1)
  %p4 = s32[]{:T(128)} parameter(2)
  %row = f32[1,128]{1,0} bitcast(%p3)
  ROOT %dus = f32[12,128]{1,0:T(1,128)} dynamic-update-slice(%p2, %row, %p4)
}

%body (state: (s32[], f32[12,128], f32[12,128])) -> (s32[], f32[12,128], f32[12,128]) {
  %state = (s32[]{:T(128)}, f32[12,128]{1,0}, f32[12,128]{1,0}) parameter(0)
  %i = s32[]{:T(128)S(6)} get-tuple-element(%state), index=0
  %xs = f32[12,128]{1,0} get-tuple-element(%state), index=1
  %ys = f32[12,128]{1,0} get-tuple-element(%state), index=2
  %x = f32[128]{0:T(128)} fusion(%xs, %i), kind=kLoop, calls=%sliced
  %sum = f32[128]{0:T(128)} all-reduce(%x), channel_id=1, replica_groups=mesh['axis_0'=2,'axis_1'=4], device_ids=([2,4]T(1,0)) {'axis_1'}, to_apply=%add
  %new = f32[12,128]{1,0} fusion(%ys, %sum, %i), kind=kLoop, calls=%updated
  ROOT %out = (s32[], f32[12,128]{1,0}, f32[12,128]{1,0}) tuple(%i, %xs, %new)
}

%condition (state.1: (s32[], f32[12,128], f32[12,128])) -> pred[] {
  %state.1 = (s32[]{:T(128)}, f32[12,128]{1,0}, f32[12,128]{1,0}) parameter(0)
  %limit = s32[]{:T(128)} constant(12)
  %j = s32[]{:T(128)} get-tuple-element(%state.1), index=0
  ROOT %lt = pred[]{:T(512)} compare(%j, %limit), direction=LT
}

ENTRY %main (weights: f32[12,128]) -> f32[12,128] {
  %weights = f32[12,128]{1,0} parameter(0)
  %zero = s32[]{:T(128)} constant(0)
  %fresh = f32[12,128]{1,0} custom-call(), custom_call_target="AllocateBuffer"
  %init = (s32[], f32[12,128]{1,0}, f32[12,128]{1,0}) tuple(%zero, %weights, %fresh)
  %loop = (s32[], f32[12,128]{1,0}, f32[12,128]{1,0}) while(%init), condition=%condition, body=%body
  ROOT %result = f32[12,128]{1,0} get-tuple-element(%loop), index=2
}
"""  # noqa: E501


def test_text_of_the_tpu_compiler():
  got = _hlo.read_hlo(TPU, num_devices=8)
  row = 128 * 4
  # A ring of the four devices of axis_1, twelve times.
  sent = 12 * row * 2 * 3 / 4
  assert got.collectives == (_hlo.Collective("all-reduce", 12, 12 * row, sent),)
  # A turn: slice read and written, reduced, read and written in its place;
  # the condition reads two numbers and writes a truth value.
  assert got.hbm_bytes == 12 * (6 * row + 9)
  # The weights are an argument; the stacked results are a temporary.
  assert got.largest[0] == _hlo.Buffer("f32[12,128]", 12 * row, 1)


@pytest.mark.parametrize(
  ("layout", "elements"),
  [
    ("{3,2,1,0}", 2 * 10 * 20 * 3),
    # The last two of the order, 20 x 3, fill tiles of 8 x 128.
    ("{3,2,1,0:T(8,128)}", 2 * 10 * 24 * 128),
    ("{2,1,3,0:T(8,128)}", 2 * 3 * 16 * 128),
    ("{2,1,3,0:T(8,128)(2,1)}", 2 * 3 * 16 * 128),
    # Not in the main memory.
    ("{2,1,3,0:T(8,128)S(1)}", 0),
  ],
)
def test_tiles_take_whole_lanes(layout, elements):
  text = f"""ENTRY %e (p: f32[2,10,20,3]) -> f32[2,10,20,3] {{
  %p = f32[2,10,20,3]{{3,2,1,0:S(1)}} parameter(0)
  ROOT %r = f32[2,10,20,3]{layout} negate(%p)
}}
"""
  assert _hlo.read_hlo(text, num_devices=1).hbm_bytes == 4 * elements


@pytest.mark.parametrize(
  ("groups", "size"),
  [
    ("replica_groups={{0,1},{2,3}}", 2),
    ("replica_groups=[2,8]<=[16]", 8),
    ("replica_groups=[16,4]<=[4,16]T(1,0)", 4),
    ("replica_groups=mesh['x'=4,'y'=8] {'x','y'}", 32),
    ("replica_groups=mesh['x'=4,'y'=8] {'y':(2)4}", 4),
    ("replica_groups={}", 16),
    ("source_target_pairs={{0,1}}", 16),
  ],
)
def test_group_size(groups, size):
  text = f"""ENTRY %e (p: f32[4]) -> f32[4] {{
  %p = f32[4]{{0}} parameter(0)
  ROOT %r = f32[4]{{0}} all-reduce(%p), {groups}, to_apply=%add
}}
"""
  (got,) = _hlo.read_hlo(text, num_devices=16).collectives
  assert math.isclose(got.link_bytes, 16 * 2 * (size - 1) / size)


def test_asynchronous_pairs_count_once():
  text = """ENTRY %e (p: f32[4]) -> f32[8] {
  %p = f32[4]{0} parameter(0)
  %s = (f32[4]{0}, f32[8]{0}) all-gather-start(%p), replica_groups={{0,1}}
  ROOT %d = f32[8]{0} all-gather-done(%s)
}
"""
  (got,) = _hlo.read_hlo(text, num_devices=2).collectives
  assert got == _hlo.Collective("all-gather", 1, 32, 16)


def test_parts_of_one_channel_count_once():
  text = """%part (a: f32[4]) -> f32[8] {
  %a = f32[4]{0} parameter(0)
  ROOT %g = f32[8]{0} all-gather(%a), channel_id=5, replica_groups={{0,1}}
}

ENTRY %e (p: f32[4]) -> f32[8] {
  %p = f32[4]{0} parameter(0)
  %one = f32[8]{0} fusion(%p), kind=kCustom, calls=%part
  %two = f32[8]{0} fusion(%p), kind=kCustom, calls=%part.1
  ROOT %r = f32[8]{0} all-gather(%p), channel_id=6, replica_groups={{0,1}}
}
"""
  head, tail = text.split("ENTRY")
  text = head + head.replace("%part", "%part.1") + "ENTRY" + tail
  (got,) = _hlo.read_hlo(text, num_devices=2).collectives
  assert got == _hlo.Collective("all-gather", 2, 2 * 32, 2 * 16)


def test_loop_of_unknown_length_is_reported():
  text = TPU.replace("constant(12)", "get-tuple-element(%state.1), index=1")
  text = text.replace("12,128", "12,640000").replace("[128]", "[640000]")
  text = text.replace("[1,128]", "[1,640000]")
  got = _hlo.read_hlo(text, num_devices=8)
  assert got.open_loops == 1
  assert got.collectives[0].count == 1
