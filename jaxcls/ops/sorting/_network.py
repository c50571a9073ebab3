"""Which wires a sorting network compares, layer by layer."""

import math
from typing import NamedTuple

import numpy as np


class Network(NamedTuple):
  """What is fixed at trace time: the wiring, and the comparators' relaxation.

  Attributes:
    name: "odd_even" or "bitonic".
    n: number of scores.
    relaxation: a key of `_relaxations.RELAXATIONS`.
    art_lambda: exponent of the activation replacement trick.
  """

  name: str
  n: int
  relaxation: str
  art_lambda: float

  @property
  def width(self) -> int:
    """Wires: n, for bitonic raised to a power of two."""
    if self.name == "odd_even":
      return self.n
    return 1 << max(self.n - 1, 0).bit_length()

  @property
  def idle(self) -> int:
    """Lowest wires that hold no score. As if -inf, they never move."""
    return self.width - self.n

  @property
  def depth(self) -> int:
    """Layers, n or k (k + 1) / 2 with width = 2^k."""
    if self.name == "odd_even":
      return self.n if self.n > 1 else 0
    k = self.width.bit_length() - 1
    return math.comb(k + 1, 2)

  @property
  def slots(self) -> int:
    """Comparators of the fullest layer; all layers are stored this wide."""
    return self.width // 2

  @property
  def strides(self) -> tuple[int, ...]:
    """Distance of the compared wires, a layer each."""
    if self.name == "odd_even":
      return (1,) * self.depth
    blocks = range(self.width.bit_length() - 1)
    return tuple(1 << (k - j) for k in blocks for j in range(k + 1))

  def signs(self) -> np.ndarray:
    """[depth slots] +1: smaller value to the lower wire, -1: upper, 0: idle.

    Slot p of a layer of stride m joins the wires a = 2m (p // m) + p % m and
    a + m (odd_even: a = 2p + layer % 2). Blocks of a bitonic network point up
    and down in turn; the lowest always points up, so wires that hold no score
    can stay where they are, below all others, and no comparator is lost.
    """
    signs = np.zeros((self.depth, self.slots), np.int8)
    p = np.arange(self.slots)
    if self.name == "odd_even":
      for layer in range(self.depth):
        signs[layer] = 2 * p + layer % 2 + 1 < self.n
      return signs
    blocks = range(self.width.bit_length() - 1)
    block_of = [k for k in blocks for _ in range(k + 1)]
    for layer, m in enumerate(self.strides):
      a = 2 * m * (p // m) + p % m
      up = (a >> (block_of[layer] + 1)) % 2 == 0
      signs[layer] = np.where(a < self.idle, 0, np.where(up, 1, -1))
    return signs

  def comparators(self) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per layer the wires that get the smaller and the larger value.

    Only comparators that touch no idle wire; scores are on wires 0 to n - 1.
    """
    layers = []
    p = np.arange(self.slots)
    for layer, signs in enumerate(self.signs()):
      m = self.strides[layer]
      if self.name == "odd_even":
        a = 2 * p + layer % 2
      else:
        a = 2 * m * (p // m) + p % m
      low, high = np.where(signs > 0, a, a + m), np.where(signs > 0, a + m, a)
      keep = signs != 0
      layers.append((low[keep] - self.idle, high[keep] - self.idle))
    return layers
