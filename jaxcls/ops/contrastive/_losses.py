"""The public losses: checks, positives, and what surrounds the totals."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import _precision
from jaxcls.ops.contrastive import _blockwise, _sharded

_LOGSUMEXP = _blockwise.LOGSUMEXP


def _check_vectors(name, array, other_name=None, other=None):
  """Raises unless array is a float matrix, with as many columns as other."""
  if array.ndim != 2 or array.shape[1] == 0:
    raise ValueError(
      f"{name} must have shape [n d] with d >= 1, got {array.shape}."
    )
  if not jnp.issubdtype(array.dtype, jnp.floating):
    raise TypeError(f"{name} must be floating point, got {array.dtype}.")
  if other is not None and array.shape[1] != other.shape[1]:
    raise ValueError(
      f"{name} must have as many columns as {other_name} {other.shape}, "
      f"got {array.shape}."
    )


def _check_pairs(images, texts):
  _check_vectors("image_embeddings", images)
  _check_vectors("text_embeddings", texts)
  if images.shape != texts.shape:
    raise ValueError(
      f"text_embeddings must have the shape of image_embeddings, "
      f"{images.shape}, got {texts.shape}; use info_nce_loss for n x m."
    )


def _check_labels(name, labels, rows):
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(f"{name} must be integers, got {labels.dtype}.")
  if labels.shape != (rows,):
    raise ValueError(f"{name} must have shape ({rows},), got {labels.shape}.")


def _check_where(name, where, shape):
  """Raises unless where is None or a bool array of that shape."""
  if where is None:
    return
  if where.dtype != jnp.bool_:
    raise TypeError(f"{name} must be bool, got {where.dtype}.")
  if where.shape != shape:
    raise ValueError(f"{name} must have shape {shape}, got {where.shape}.")


def _config(reduction, block_size, axis_name, both=False):
  if not isinstance(block_size, int) or block_size < 1:
    raise ValueError(f"block_size must be an int >= 1, got {block_size}.")
  return _sharded.Config(reduction, block_size, axis_name, both)


def _scale(temperature, *vectors):
  """1 / temperature in the type of the sums: float32, or wider if they are."""
  if isinstance(temperature, int | float) and not temperature > 0:
    raise ValueError(f"temperature must be > 0, got {temperature}.")
  dtype = _precision.wide(*vectors)
  temperature = jnp.asarray(temperature)
  if temperature.ndim:
    raise ValueError(
      f"temperature must be a scalar, got shape {temperature.shape}."
    )
  return 1.0 / temperature.astype(dtype)


def _clean(vectors, where):
  """Rows that are not kept become 0: their values, even nan, touch nothing."""
  return vectors if where is None else jnp.where(where[:, None], vectors, 0)


def _paired(x, y, scale):
  """scale * x_i . y_i, [n]."""
  return (x.astype(scale.dtype) * y.astype(scale.dtype)).sum(-1) * scale


def _mean_matches(totals, matches, count, where):
  """total - mean of the positives' similarities; 0 without a positive."""
  count = count.astype(totals.dtype)
  kept = count > 0 if where is None else where & (count > 0)
  return jnp.where(kept, totals - matches / jnp.maximum(count, 1), 0)


def supcon_loss(
  embeddings: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  temperature: float | Float[Array, ""],
  where: Bool[Array, " n"] | None = None,
  axis_name: str | None = None,
  block_size: int = 512,
) -> Float[Array, " n"]:
  """Supervised contrastive loss; the similarities are never stored.

  s_ij = z_i . z_j / temperature,  A_i = {j != i},
  P_i = {j in A_i: label_j == label_i},
  loss_i = -1/|P_i| sum_{j in P_i} log(exp(s_ij) / sum_{a in A_i} exp(s_ia)).

  Memory is O(n d) in both directions. Products follow
  jax.default_matmul_precision; all else is float32 (float64 for float64).

  Args:
    embeddings: [n d], any float type, used as they come: the papers divide
      them by their norm first. Views of an image are rows with its label.
    labels: [n], any integers; rows with equal ones are positives.
    temperature: > 0, no unit; a traced value is not checked and gets a
      gradient.
    where: [n], True = keep. A row that is not kept is nobody's positive or
      negative, its loss and gradient are 0 and its values may be nan.
    axis_name: under jax.shard_map, the mesh axis over which rows are split:
      the pairs are then those of the global batch. None: of this device.
    block_size: largest side of a tile of similarities.

  Returns:
    [n] float32, nats, one value per row, not reduced; 0 for a row without
    positives. A nan in a kept row makes every loss nan. Near s = 1e4 the
    float32 difference is good to 1e-3. n = 0 gives [0].

  Raises:
    TypeError: embeddings are not floating point, labels not integers, or
      where not bool.
    ValueError: a shape does not match, temperature <= 0, or block_size < 1.

  Source: Khosla et al. 2020, arXiv:2004.11362, eq. 2 (L_sup_out).
  Differs: rows without positives give 0. The official code multiplies by
    temperature / base_temperature; the paper does not.

  >>> z = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> loss = supcon_loss(z, jnp.array([5, 5, 2]), temperature=1.0)
  >>> print(f"{loss[0]:.4f}")
  0.3133
  """
  _check_vectors("embeddings", embeddings)
  _check_labels("labels", labels, embeddings.shape[0])
  _check_where("where", where, labels.shape)
  scale = _scale(temperature, embeddings)
  config = _config(_LOGSUMEXP, block_size, axis_name)
  if embeddings.shape[0] == 0:
    return jnp.zeros(labels.shape, scale.dtype)
  vectors, where, labels, scale = _sharded.same_axes(
    _clean(embeddings, where), where, labels, scale
  )
  items = _blockwise.Side(vectors, where, labels)
  totals, matches = _sharded.self_totals(config, items, scale)
  count = _sharded.count_matches(
    labels, *(_sharded.gather(a, axis_name) for a in (labels, where))
  )
  # An item is not its own positive.
  return _mean_matches(totals, matches, count - 1, where)


def nt_xent_loss(
  embeddings: Float[Array, "b k d"],
  *,
  temperature: float | Float[Array, ""],
  where: Bool[Array, "b k"] | None = None,
  axis_name: str | None = None,
  block_size: int = 512,
) -> Float[Array, "b k"]:
  """SimCLR's loss: views of one item against all other views in the batch.

  With two views i, j of an item, s_ij = z_i . z_j / temperature:
  loss_i = -log(exp(s_ij) / sum_{a != i} exp(s_ia)).
  More than two views: the mean over the other views, outside the log.

  Args:
    embeddings: [b k d], k views of b items, any float type, used as they
      come: the paper divides them by their norm first.
    temperature: as in supcon_loss.
    where: [b k], True = keep, as in supcon_loss.
    axis_name: mesh axis over which items are split, as in supcon_loss.
    block_size: as in supcon_loss.

  Returns:
    [b k] float32, nats, one value per view, not reduced; 0 for a view whose
    item has no other kept view. nan and empty batches as in supcon_loss.

  Raises:
    TypeError, ValueError: as supcon_loss.

  Source: Chen et al. 2020, arXiv:2002.05709, eq. 1.
  Differs: nothing known for two views.

  >>> z = jnp.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
  >>> loss = nt_xent_loss(z, temperature=1.0)[0]
  >>> print(f"{loss[0]:.4f}")
  0.5514
  """
  if embeddings.ndim != 3:
    raise ValueError(
      f"embeddings must have shape [b k d], got {embeddings.shape}; for rows "
      "with labels use supcon_loss."
    )
  items, views, d = embeddings.shape
  _check_where("where", where, (items, views))
  ids = jnp.arange(items)
  if axis_name is not None:
    ids = ids + items * jax.lax.axis_index(axis_name)
  loss = supcon_loss(
    embeddings.reshape(items * views, d),
    jnp.repeat(ids, views),
    temperature=temperature,
    where=None if where is None else where.reshape(-1),
    axis_name=axis_name,
    block_size=block_size,
  )
  return loss.reshape(items, views)


def clip_loss(
  image_embeddings: Float[Array, "n d"],
  text_embeddings: Float[Array, "n d"],
  *,
  temperature: float | Float[Array, ""],
  where: Bool[Array, " n"] | None = None,
  axis_name: str | None = None,
  block_size: int = 512,
) -> Float[Array, " n"]:
  """Symmetric cross-entropy of n image-text pairs, row i with row i.

  s_ij = x_i . y_j / temperature,
  loss_i = (logsumexp_j s_ij + logsumexp_j s_ji) / 2 - s_ii.
  Both directions read one pass over the similarities.

  Args:
    image_embeddings: [n d], used as they come: the paper divides them by
      their norm first.
    text_embeddings: [n d], likewise.
    temperature: as in supcon_loss. CLIP learns log_scale:
      temperature=jnp.exp(-log_scale).
    where: [n], True = keep the pair, as in supcon_loss.
    axis_name: mesh axis over which pairs are split, as in supcon_loss.
    block_size: as in supcon_loss.

  Returns:
    [n] float32, nats, one value per pair, not reduced. nan and empty batches
    as in supcon_loss.

  Raises:
    TypeError, ValueError: as supcon_loss.

  Source: Radford et al. 2021, arXiv:2103.00020, fig. 3.
  Differs: the scale is not clipped at 100 here; clip it where it is learned.

  >>> x = jnp.eye(2)
  >>> loss = clip_loss(x, x, temperature=1.0)
  >>> print(f"{loss[0]:.4f}")
  0.3133
  """
  _check_pairs(image_embeddings, text_embeddings)
  pairs = image_embeddings.shape[:1]
  _check_where("where", where, pairs)
  scale = _scale(temperature, image_embeddings, text_embeddings)
  config = _config(_LOGSUMEXP, block_size, axis_name, both=True)
  if image_embeddings.shape[0] == 0:
    return jnp.zeros(pairs, scale.dtype)
  x, y, where, scale = _sharded.same_axes(
    _clean(image_embeddings, where), _clean(text_embeddings, where), where,
    scale,
  )  # fmt: skip
  rows, columns = _blockwise.Side(x, where), _blockwise.Side(y, where)
  by_image, _, by_text = _sharded.pair_totals(
    config, rows, columns, scale, None
  )
  loss = 0.5 * (by_image + by_text) - _paired(x, y, scale)
  return loss if where is None else jnp.where(where, loss, 0)


def sigmoid_pair_loss(
  image_embeddings: Float[Array, "n d"],
  text_embeddings: Float[Array, "n d"],
  *,
  temperature: float | Float[Array, ""],
  bias: float | Float[Array, ""],
  where: Bool[Array, " n"] | None = None,
  axis_name: str | None = None,
  block_size: int = 512,
) -> Float[Array, " n"]:
  """SigLIP's loss: every image-text pair is one binary classification.

  s_ij = x_i . y_j / temperature + bias,
  loss_i = -log sigmoid(s_ii) - sum_{j != i} log sigmoid(-s_ij).

  Args:
    image_embeddings: [n d], used as they come: the paper divides them by
      their norm first.
    text_embeddings: [n d], likewise; row i belongs to image i.
    temperature: as in supcon_loss; the paper starts at 1/10, learned.
    bias: added to every similarity, no unit, gets a gradient; the paper
      starts at -10, learned.
    where: [n], True = keep the pair, as in supcon_loss.
    axis_name: mesh axis over which pairs are split, as in supcon_loss.
    block_size: as in supcon_loss.

  Returns:
    [n] float32, nats, one value per image: its SUM over texts. The mean over
    images is the paper's loss. nan and empty batches as in supcon_loss, but a
    nan touches only the losses of its own pairs.

  Raises:
    TypeError, ValueError: as supcon_loss.

  Source: Zhai et al. 2023, arXiv:2303.15343, eq. 1 and algorithm 1.
  Differs: the paper passes texts around in chunks too; here the images stay.

  >>> x = jnp.eye(2)
  >>> loss = sigmoid_pair_loss(x, x, temperature=1.0, bias=0.0)
  >>> print(f"{loss[0]:.4f}")
  1.0064
  """
  _check_pairs(image_embeddings, text_embeddings)
  pairs = image_embeddings.shape[:1]
  _check_where("where", where, pairs)
  scale = _scale(temperature, image_embeddings, text_embeddings)
  config = _config(_blockwise.SUM_SOFTPLUS, block_size, axis_name)
  if image_embeddings.shape[0] == 0:
    return jnp.zeros(pairs, scale.dtype)
  x, y, where, scale, bias = _sharded.same_axes(
    _clean(image_embeddings, where), _clean(text_embeddings, where), where,
    scale, jnp.asarray(bias, scale.dtype),
  )  # fmt: skip
  rows, columns = _blockwise.Side(x, where), _blockwise.Side(y, where)
  total, _, _ = _sharded.pair_totals(config, rows, columns, scale, bias)
  # -log sigmoid(s) = softplus(s) - s: only the pair itself loses its s.
  loss = total - (_paired(x, y, scale) + bias)
  return loss if where is None else jnp.where(where, loss, 0)
