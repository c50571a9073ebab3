"""First-layer filters from the data: k-means of whitened patches.

learner.filters.name random_filters, orthogonal_filters, gabor_filters,
dct_filters, pca_filters and oja_filters are the others; model.kernel_size their
size; without `trainable` backpropagation goes on from them.

Run:    jaxcls train --config configs/core/filter_design.py --workdir DIR
Source: On filter design in deep convolutional neural network, 2022, a survey
  without a recipe; filters by Coates et al. 2011, PCANet (arXiv:1404.3606) and
  others, see their docstrings.
Ours:   experiments/core has 2,500 images at 14 pixels.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  c = ml_collections.ConfigDict(dict(seed=0, total_epochs=20, batch_size=128))
  c.scenario = dict(
    name="standard",
    source="tfds:fashion_mnist",
    val_fraction=0.05,
    preprocess=(dict(name="normalize", mean=(0.286,), std=(0.353,)),),
  )
  c.model = dict(
    name="convnet",
    widths=(4, 4, 4) if smoke else (16, 32, 64),
    kernel_size=5,
    hidden=128,
  )
  c.trainable = "^(?!convs/0/)"
  c.learner = dict(
    name="supervised",
    filters=dict(name="kmeans_filters", num_patches=100 if smoke else 20_000),
  )
  c.optimizer = dict(name="sgd", momentum=0.9, weight_decay=5e-4)
  c.schedule = dict(name="cosine", peak_lr=0.1)
  return c
