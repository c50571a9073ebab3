"""SMMix against CutMix and no mixing, a small ViT on Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/core/smmix.py --workdir DIR
Sizes:  3,000 training images, 10,000 test images, ViT of 2 blocks of width 32
        with 7x7 tokens, 30 epochs, 3 seeds.

`cutmix` is DeiT's recipe, CutMix or mixup half of the time each; in smmix only
CutMix is replaced. The learning rate is 0.002 in all arms, not tuned.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(**learner):
    return dict(config="configs/core/smmix.py", set=(f"learner={learner}",))

  plain = dict(
    name="supervised", objective="soft_cross_entropy_loss", label_smoothing=0.1
  )
  mixing = dict(name="mixup_or_cutmix", mixup_alpha=0.8, cutmix_alpha=1.0)
  return dict(
    arms=dict(
      none=arm(**plain),
      cutmix=arm(**plain, mixing=mixing),
      smmix=arm(name="attention_mixing", probability=0.5, mixup_alpha=0.8),
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
    also=("time/seconds_per_step@1.0",),
    baseline="cutmix",
    claim="SMMix above CutMix and no mixing, less than 1.6 times as slow",
  )
