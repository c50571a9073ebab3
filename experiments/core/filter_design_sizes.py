"""As filter_design.py: number and size of the frozen filters.

Run:    jaxcls compare --experiment experiments/core/filter_design_sizes.py \
            --workdir DIR
Sizes:  8 or 32 filters of 3 x 3, 5 x 5 or 7 x 7 in a frozen first layer, 16 in
        the second; data, steps and rates as there, 5 seeds.
"""

import pathlib
import runpy

NAMES = ("random", "pca", "kmeans")


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  file = pathlib.Path(__file__).with_name("filter_design.py")
  base = runpy.run_path(str(file))["get_experiment"]()
  arms = {}
  for width in (8, 32):
    for size in (3, 5, 7):
      for name in NAMES:
        if name == "pca" and width > size**2:
          continue  # no more components than a patch has values
        arm = base["arms"][f"{name}_frozen"]
        model = dict(
          name="convnet", widths=(width, 16), hidden=64, kernel_size=size
        )
        arms[f"{name}_{width}_of_{size}"] = {
          **arm,
          "set": (*arm["set"], f"model={model}"),
        }
  return {
    **base,
    "arms": arms,
    "set": tuple(s for s in base["set"] if not s.startswith("model=")),
    "baseline": "random_8_of_5",
    "claim": "k-means and PCA filters above random ones at every number and "
    "size of the filters",
  }
