"""Associative recall of a trained network: local linear against softmax.

Run:    jaxcls compare --experiment experiments/core/local_linear_recall.py \
            --workdir DIR
Sizes:  20,000 training, 2,000 validation and 10,000 test sequences of 8 pairs
        (16 keys, 8 values) and a key; a ViT of 2 blocks of width 64 that reads
        a symbol as a token, answer at the class token; batch 128, 5 seeds.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(ridge):
    model = dict(
      name="vit", variant="mu/1", width=64, depth=2, num_heads=4, pool="cls",
      local_linear_ridge=ridge,
    )  # fmt: skip
    return dict(
      config="configs/core/local_linear_attention.py", set=(f"model={model}",)
    )

  return dict(
    arms=dict(softmax=arm(None), local_linear=arm(1.0)),
    set=(
      "scenario={'name': 'standard', 'source': 'recall', 'options': "
      "{'num_examples': 22000}, 'val_fraction': 0.0909}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.1, 'clip_norm': 1.0}",
      "schedule={'name': 'cosine', 'peak_lr': 0.002, 'warmup_steps': 100}",
      "batch_size=128",
      "total_epochs=None",
      "total_steps=3000",
      "log_every_steps=100",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("train/accuracy@0.25", "train/accuracy@0.5", "train/accuracy@1.0"),
    baseline="softmax",
    claim="local linear attention at least as accurate as softmax attention",
  )
