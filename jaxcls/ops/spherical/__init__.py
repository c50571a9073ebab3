"""An output layer whose training step does not depend on the class count.

For a loss of the spherical family the kernel W [D d] is kept as a product,
and one step of plain SGD touches d x d matrices and the rows of the labels
only: O(m d**2 + d**3) for m examples, whatever D is. It is exact, not sampled.

A learner that owns its step:

  loss = ops.make_spherical_loss("z_loss", a=0.1, b=10.0)  # once

  def step(layer, params, batch):  # jax.jit(step, donate_argnums=0)
    features, pull_back = jax.vjp(lambda p: net(p, batch["image"]), params)
    layer, per_example, d_features = ops.spherical_update(
      layer, features, batch["label"], loss=loss, learning_rate=0.1
    )
    (grads,) = pull_back(d_features)
    ...  # optax for params; the layer is already updated

Donate the layer's state: otherwise every step copies its D rows. With the
rows sharded over classes (`state["rows"]` on P("model", None), the rest
replicated) the same step runs under plain jit. Prediction costs O(D d) again:
logits = features @ ops.spherical_kernel(state).T.
"""

from jaxcls.ops.spherical._layer import init_spherical as init_spherical
from jaxcls.ops.spherical._layer import spherical_forward as spherical_forward
from jaxcls.ops.spherical._layer import spherical_kernel as spherical_kernel
from jaxcls.ops.spherical._layer import spherical_refold as spherical_refold
from jaxcls.ops.spherical._layer import spherical_update as spherical_update
from jaxcls.ops.spherical._losses import (
  SphericalStatistics as SphericalStatistics,
)
from jaxcls.ops.spherical._losses import (
  make_spherical_loss as make_spherical_loss,
)
