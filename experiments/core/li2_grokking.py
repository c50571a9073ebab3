"""Grokking with and without weight decay: addition modulo 23.

Run:    jaxcls compare --experiment experiments/core/li2_grokking.py \
            --workdir DIR
Sizes:  264 of the 529 pairs are trained on, full batch, 53 are val, 212 test;
        256 hidden units with squares, 3,000 steps, 5 seeds (of the weights).

Nothing is tuned but the initial size and the learning rate, once, so that the
network memorises within 100 steps.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  config = "configs/core/li2_grokking.py"
  options = dict(moduli=(23,), train_fraction=0.6)
  model = dict(
    name="mlp", hidden=(256,), activation="square", init=0.05
  )  # fmt: skip
  return dict(
    arms=dict(
      decay=dict(config=config),
      no_decay=dict(config=config, set=("optimizer.weight_decay=0.0",)),
    ),
    set=(
      f"scenario.options={options}",
      f"model={model}",
      "schedule.peak_lr=0.003",
      "batch_size=264",
      "total_steps=3000",
      "log_every_steps=10",
      "evaluation.every_steps=20",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="val/accuracy>=0.9",
    also=("train/accuracy>=1.0", "test/accuracy", "train/accuracy@1.0"),
    baseline="no_decay",
    claim="val accuracy 90 % at least five times later than train accuracy "
    "100 %, and never without weight decay",
  )
