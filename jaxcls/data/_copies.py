"""Every image in each of several fixed transformations.

Each is `f(images [b h w c], *, ...) -> [b m h w c]`, m known from the settings,
the first copy as it was; a learner may ask which of the m a copy is.
"""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "b h w c"]
Copies = Float[Array, "b m h w c"]


def rotations(
  images: Images, *, quarter_turns: Sequence[int] = (0, 1, 2, 3)
) -> Copies:
  """Each image turned anticlockwise by quarters of a circle.

  Args:
    images: [b h w c], any values.
    quarter_turns: which turns, the first of them 0.

  Raises:
    ValueError: odd turns of images that are not square, or turns that do not
      start with 0.

  Source: Gidaris et al. 2018, arXiv:1803.07728.
  """
  turns = tuple(quarter_turns)
  if not turns or turns[0] % 4:
    raise ValueError(f"quarter_turns must start with 0, got {turns}.")
  if any(k % 2 for k in turns) and images.shape[1] != images.shape[2]:
    raise ValueError(
      "images must be square for odd quarter turns, got "
      f"{images.shape[1:3]}. Set quarter_turns to (0, 2)."
    )
  return jnp.stack([jnp.rot90(images, k, (1, 2)) for k in turns], axis=1)


def color_permutations(images: Images, *, cyclic: bool = False) -> Copies:
  """Each image with its three colours in every order.

  Args:
    images: [b h w 3], any values.
    cyclic: only the three cyclic orders instead of all six.

  Raises:
    ValueError: the images do not have three channels.

  Source: Lee et al. 2020, arXiv:1910.05872.
  """
  if images.shape[-1] != 3:
    raise ValueError(
      f"images must have 3 channels, got {images.shape[-1]}. Use rotations."
    )
  orders = list(itertools.permutations(range(3)))
  if cyclic:
    orders = [orders[0], orders[3], orders[4]]
  return jnp.stack([images[..., jnp.array(o)] for o in orders], axis=1)
