"""GBNN: a network with one hidden layer whose units gradient boosting adds.

Run:    jaxcls train --config configs/core/gbnn.py --workdir DIR
Source: Emami & Martinez-Munoz 2019, arXiv:1909.12098: 200 units one by one,
  half of the examples for each, tabular data.
Ours:   experiments/core has three of scikit-learn's data sets.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=1, batch_size=256))
  c.scenario = dict(name="standard", source="digits", play="fit")
  # Without hidden layers the features are the inputs.
  c.model = dict(name="mlp", hidden=())
  c.learner = dict(
    name="closed_form",
    classifier="boosted_network",
    scaling="standard",
    fit_options=dict(
      total_units=2 if smoke else 200,
      units_per_step=1,
      learning_rate=1.0,
      subsample=0.5,
      max_iterations=2 if smoke else 200,
    ),
  )
  c.evaluation = dict(metrics=("accuracy", "negative_log_likelihood"))
  return c
