"""SMMix without each of its three losses.

Run:    jaxcls compare --experiment experiments/core/smmix_ablation.py \
            --workdir DIR
Sizes:  those of smmix.py, 3 seeds.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(**learner):
    return dict(config="configs/core/smmix.py", set=(f"learner={learner}",))

  smmix = dict(name="attention_mixing", probability=0.5, mixup_alpha=0.8)
  return dict(
    arms=dict(
      smmix=arm(**smmix),
      without_class=arm(**smmix, class_weight=0.0),
      without_region=arm(**smmix, region_weight=0.0),
      without_consistency=arm(**smmix, consistency_weight=0.0),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.options={}",
      "scenario.test_split='test'",
      "scenario.val_fraction=0.05",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 3000}",
      "scenario.augment=()",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.286,), "
      "'std': (0.353,)},)",
      "model={'name': 'vit', 'variant': 'mu/4', 'width': 32, 'depth': 2, "
      "'num_heads': 2, 'pool': 'gap', 'return_attention': True, "
      "'heads': {'token_logits': {'width': 10, 'input': 'tokens'}}}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.05}",
      "schedule={'name': 'cosine', 'peak_lr': 0.002, 'warmup_epochs': 2}",
      "batch_size=64",
      "workers=0",
      "total_epochs=30",
      "log_every_steps=20",
    ),
    seeds=(0, 1, 2),
    metric="test/accuracy",
    baseline="smmix",
    claim="each loss taken away lowers the mean accuracy or ties",
  )
