"""Wide and deep networks as a classifier: regression on their tangent kernel.

The activation's Hermite coefficients, (h_1 + h_3) / sqrt(2), make the deep
limit a singular kernel of exponent 2, optimal for data that fill two
dimensions; `classifiers.optimal_coefficients` has those of others, and the
limit itself is learner.classifier singular_kernel.

Run:    jaxcls train --config configs/core/wide_deep_optimal.py --workdir DIR
Source: Radhakrishnan et al. 2022, arXiv:2204.14126 (theory).
Ours:   experiments/core has the limits and two-dimensional data.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=1, batch_size=256))
  c.scenario = dict(name="standard", source="digits", play="fit")
  # Without hidden layers the features are the inputs.
  c.model = dict(name="mlp", hidden=())
  kernel = dict(
    coefficients=(0.0, 0.7071067811865476, 0.0, 0.7071067811865476), depth=5
  )
  c.learner = dict(
    name="closed_form",
    classifier="deep_kernel",
    capacity=64 if mode == "smoke" else 1437,
    fit_options=dict(l2=1e-3, **kernel),
    predict_options=kernel,
  )
  c.evaluation = dict(metrics=("accuracy",))
  return c
