"""The definition: all D logits, gradients by autodiff, one dense SGD step."""

import jax


def dense_update(
  kernel, features, labels, *, loss, learning_rate, weight_decay=0.0
):
  """One SGD step on kernel [D d] for the mean of loss(logits, labels).

  Returns:
    The new kernel, the losses [m], and the gradient to the features [m d].
  """

  def mean_loss(kernel, features):
    per_example = loss(features @ kernel.T, labels)
    return per_example.mean(), per_example

  grad = jax.value_and_grad(mean_loss, argnums=(0, 1), has_aux=True)
  (_, per_example), (d_kernel, d_features) = grad(kernel, features)
  kernel = (1.0 - learning_rate * weight_decay) * kernel
  return kernel - learning_rate * d_kernel, per_example, d_features
