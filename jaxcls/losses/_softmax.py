"""The log normaliser and the label's log-probability, without the others.

`log_softmax` writes all c log-probabilities to memory; one row needs one of
them. Subtracting the largest logit first keeps the digits that the
difference of two large numbers would lose.
"""

import jax
import jax.numpy as jnp


def shifted(logits):
  """Logits minus their largest, float32: [*b c] <= 0."""
  logits = logits.astype(jnp.float32)
  return logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))


def log_sum_exp(shifted_logits):
  """log sum exp of shifted logits, >= 0: [*b c] -> [*b]."""
  return jnp.log(jnp.exp(shifted_logits).sum(axis=-1))


def pick(values, labels):
  """values[..., label]: [*b c], [*b] -> [*b]."""
  return jnp.take_along_axis(values, labels[..., None], axis=-1)[..., 0]


def is_label(values, labels):
  """[*b c] bool, True at the label of each row."""
  return jnp.arange(values.shape[-1]) == labels[..., None]


def log_prob(label_logits, logits):
  """label_logits - log sum exp(logits): [*b], [*b c] -> [*b]; float32 in."""
  top = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
  return label_logits - top[..., 0] - log_sum_exp(logits - top)


def label_log_probs(logits, labels):
  """log softmax(logits)[label] in float32: [*b c], [*b] -> [*b]."""
  logits = logits.astype(jnp.float32)
  return log_prob(pick(logits, labels), logits)


def replaced_label_loss(logits, label_logits, labels):
  """Cross-entropy where the label's logit is another: [*b c], [*b] -> [*b]."""
  chosen = is_label(logits, labels)
  logits = jnp.where(chosen, label_logits[..., None], logits)
  return -log_prob(label_logits, logits)


def entropy(x):
  """Entropy of softmax(x), x shifted: log Z - sum p x."""
  exps = jnp.exp(x)
  total = exps.sum(axis=-1)
  return jnp.log(total) - (exps * x).sum(axis=-1) / total


def divergence(x, y):
  """KL(softmax(x) || softmax(y)) of shifted logits; 0 where x is y."""
  exps = jnp.exp(x)
  total = exps.sum(axis=-1)
  gap = (exps * (x - y)).sum(axis=-1) / total
  return gap + (log_sum_exp(y) - jnp.log(total))
