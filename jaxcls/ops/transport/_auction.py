"""Bertsekas' auction for the assignment problem, in integers.

Every row bids for the column it likes best, by as much as it prefers it to its
second choice plus epsilon, and displaces the row that held it. With costs that
are multiples of n + 1 and a last epsilon of 1 the result is optimal; larger
epsilons come first, to set the prices in few bids.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Rows that bid at once: enough to fill a vector unit, few enough to waste
# little when only a handful is left without a column.
_BIDDERS = 8
# Each phase divides epsilon by this.
_SCALING = 4
# Bits of cost * (n + 1); the rest are for prices, which may exceed it 16-fold.
_BITS = {jnp.int32: 26, jnp.int64: 57}


class _State(NamedTuple):
  """columns: of each row; rows: of each column; both n where there is none."""

  epsilon: jax.Array
  prices: jax.Array
  columns: jax.Array
  rows: jax.Array
  step: jax.Array


def assign(cost, max_steps):
  """Columns [n] of the rows of a square cost [n n]; -1 where steps ran out."""
  n = cost.shape[0]
  benefit = _integers(cost)
  bidders = min(n, _BIDDERS)
  largest = benefit.max() - benefit.min()
  zero = jnp.zeros_like(benefit[0])
  none = jnp.full_like(benefit[0], n, jnp.int32)
  start = _State(
    jnp.maximum(largest // _SCALING, 1), zero, none, none, none[0] * 0
  )

  def unfinished(state):
    waiting = (state.columns == n).any() | (state.epsilon > 1)
    return waiting & (state.step < max_steps)

  def body(state):
    done = (state.columns < n).all()
    # A new phase keeps the prices, down to a minimum of 0, and nothing else.
    state = state._replace(
      epsilon=jnp.where(
        done, jnp.maximum(state.epsilon // _SCALING, 1), state.epsilon
      ),
      prices=jnp.where(done, state.prices - state.prices.min(), state.prices),
      columns=jnp.where(done, n, state.columns),
      rows=jnp.where(done, n, state.rows),
      step=state.step + 1,
    )
    return _bid(benefit, state, bidders)

  columns = jax.lax.while_loop(unfinished, body, start).columns
  return jnp.where(columns < n, columns, -1)


def _integers(cost):
  """Benefits [n n] <= 0, multiples of n + 1.

  Integer costs within the range are taken as they are; others are rounded to
  the finest grid that fits.
  """
  n = cost.shape[0]
  integer = jnp.int64 if jax.config.jax_enable_x64 else jnp.int32
  limit = 2 ** _BITS[integer] // (n + 1)
  gap = cost - cost.min()
  exact, real = gap.max() <= limit, gap
  if jnp.issubdtype(cost.dtype, jnp.floating):
    exact &= (cost == jnp.round(cost)).all()
  else:
    real = gap.astype(jnp.float64 if integer == jnp.int64 else jnp.float32)
  rounded = jnp.round(real * (limit / jnp.maximum(real.max(), 1e-30)))
  grid = jnp.where(exact, gap.astype(integer), rounded.astype(integer))
  return -grid * (n + 1)


def _bid(benefit, state, bidders):
  """The state after the bids of the first rows that have no column."""
  n = benefit.shape[0]
  row = jnp.nonzero(state.columns == n, size=bidders, fill_value=n)[0]
  row = row.astype(jnp.int32)
  value = benefit[row.clip(0, n - 1)] - state.prices
  best = value.max(axis=1)
  column = jnp.argmax(value, axis=1).astype(jnp.int32)
  second = best
  if n > 1:
    others = jnp.arange(n) != column[:, None]
    second = jnp.where(others, value, value.min()).max(axis=1)
  bid = state.prices[column] + (best - second) + state.epsilon
  # Of the bids for a column the highest wins, of equal ones the first.
  order = jnp.arange(bidders)
  higher = (bid > bid[:, None]) | (
    (bid == bid[:, None]) & (order < order[:, None])
  )
  rival = (column == column[:, None]) & (row < n)
  wins = (row < n) & ~(rival & higher).any(axis=1)
  target = jnp.where(wins, column, n)
  loser = jnp.where(wins, state.rows[column], n)
  columns = state.columns.at[loser].set(n, mode="drop")
  columns = columns.at[jnp.where(wins, row, n)].set(column, mode="drop")
  return state._replace(
    prices=state.prices.at[target].set(bid, mode="drop"),
    rows=state.rows.at[target].set(row, mode="drop"),
    columns=columns,
  )
