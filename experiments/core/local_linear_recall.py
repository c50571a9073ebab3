"""Associative recall of a trained network: local linear against softmax.

Run:    jaxcls compare --experiment experiments/core/local_linear_recall.py \
            --workdir DIR
Sizes:  20,000 training, 2,000 validation and 22,000 test sequences of 4 pairs
        (8 keys, 8 values) and a key; a ViT of 2 blocks of width 32, two heads,
        that reads a symbol as a token and answers at the class token; batch
        128, 1,500 steps, 5 seeds.

normalized is softmax attention on queries and keys of one norm, which the local
linear form has too: that form with a ridge of 1e6. The learning rate was chosen
for each arm on val, seed 100, out of 0.001, 0.003, 0.01.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(ridge, lr):
    model = dict(
      name="vit", variant="mu/1", width=32, depth=2, num_heads=2, pool="cls",
      local_linear_ridge=ridge,
    )  # fmt: skip
    return dict(
      config="configs/core/local_linear_attention.py",
      set=(f"model={model}", f"schedule.peak_lr={lr}"),
    )

  return dict(
    arms=dict(
      softmax=arm(None, 0.001),
      normalized=arm(1e6, 0.003),
      local_linear=arm(1.0, 0.001),
    ),
    set=(
      "scenario={'name': 'standard', 'source': 'recall', 'options': "
      "{'num_pairs': 4, 'num_keys': 8, 'num_values': 8, "
      "'num_examples': 22000}, 'val_fraction': 0.0909}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.1, 'clip_norm': 1.0}",
      "schedule={'name': 'cosine', 'peak_lr': 0.002, 'warmup_steps': 100}",
      "batch_size=128",
      "total_epochs=None",
      "total_steps=1500",
      "log_every_steps=100",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("train/accuracy@0.25", "train/accuracy@0.5", "train/accuracy@1.0"),
    baseline="softmax",
    claim="local linear attention at least as accurate as softmax attention",
  )
