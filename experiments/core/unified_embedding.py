"""One shared table against a hashed table for each feature; made-up clicks.

Run:    jaxcls compare --experiment experiments/core/unified_embedding.py \
            --workdir DIR
Sizes:  10 categorical features with 100 to 100,000 values, 95,000 training
        examples, 100,000 test examples; rows of 16 numbers, 500, 2,000 or
        8,000 of them in all, one lookup a feature; MLP of 64, 64; 2 epochs of
        batch 512, 5 seeds.

The same data in every run. Learning rate 0.01 for all arms, out of 0.001,
0.003, 0.01, 0.03 by the validation area of both arms at 2,000 rows, seed 100.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  config = "configs/core/unified_embedding.py"
  arms = {}
  for rows in (500, 2000, 8000):
    for name, shared in (("unified", True), ("hashed", False)):
      model = dict(
        name="embedding_mlp", rows=rows, width=16, lookups=1, shared=shared,
        hidden=(64, 64),
      )  # fmt: skip
      arms[f"{name}_{rows}"] = dict(config=config, set=(f"model={model}",))
  return dict(
    arms=arms,
    set=(
      "scenario.options={'num_examples': 100000}",
      "schedule.peak_lr=0.01",
      "batch_size=512",
      "total_epochs=2",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/roc_auc",
    also=("val/roc_auc",),
    baseline="hashed_500",
    claim="area of the shared table at least that of tables of their own at "
    "every size, most above it at the smallest",
  )
