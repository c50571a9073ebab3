import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

B, M, C = 5, 4, 3
JOINT = np.random.default_rng(0).normal(size=(B, M, C * M)).astype(np.float32)
LABELS = np.array([0, 1, 2, 1, 0])


def test_joint_labels_match_the_official_expressions():
  # Rows of one batch [b*m c*m], the copies of an image side by side.
  rows = JOINT.reshape(B * M, C * M)
  joint_labels = np.stack([LABELS * M + j for j in range(M)], 1).reshape(-1)
  log_probs = rows - np.log(np.exp(rows).sum(1, keepdims=True))
  want = -log_probs[np.arange(B * M), joint_labels].reshape(B, M).mean(1)
  got = jax.jit(losses.joint_label_loss)(JOINT, LABELS)
  np.testing.assert_allclose(got, want, rtol=1e-5)
  aggregated = sum(rows[j::M, j::M] / M for j in range(M))
  got = jax.jit(losses.aggregate_joint_logits)(JOINT)
  np.testing.assert_allclose(got, aggregated, rtol=1e-5, atol=1e-6)


def test_one_copy_is_cross_entropy():
  one = jnp.asarray(JOINT[:, :1])
  want = losses.cross_entropy_loss(one[:, 0], LABELS)
  np.testing.assert_allclose(losses.joint_label_loss(one, LABELS), want)
  np.testing.assert_array_equal(losses.aggregate_joint_logits(one), one[:, 0])


def test_errors():
  for f in (
    losses.aggregate_joint_logits,
    lambda x: losses.joint_label_loss(x, LABELS),
  ):
    with pytest.raises(ValueError, match=r"joint_logits must have shape"):
      f(JOINT[..., :7])
  with pytest.raises(ValueError, match="labels must have shape"):
    losses.joint_label_loss(JOINT, LABELS[:2])
