"""Lion against AdamW at a small and a large batch; a small ViT.

Run:    jaxcls compare --experiment experiments/optim/lion.py --workdir DIR
Sizes:  9,500 training images of Fashion-MNIST shrunk to 14 x 14, 10,000 test
        images, ViT of 2 blocks of width 48 with 7 x 7 tokens, 6 epochs of
        batches of 64 or 1,024, 3 seeds.

The learning rate of each arm is the best on validation accuracy with seed 100:
AdamW out of (0.001, 0.003, 0.01, 0.03), Lion out of (0.0003, 0.001, 0.003), and
0.01 and 0.03 for batches of 1,024; weight decay 0.05 and 0.5, ten times as much
for Lion, as the paper has it.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(name, batch_size, lr, decay):
    optimizer = dict(name=name, weight_decay=decay, clip_norm=1.0)
    return dict(
      config="configs/optim/lion.py",
      set=(
        f"optimizer={optimizer}",
        f"schedule.peak_lr={lr}",
        f"batch_size={batch_size}",
      ),
    )

  model = dict(name="vit", variant="mu/2", width=48, depth=2, num_heads=3)
  preprocess = (
    dict(name="resize", size=14),
    dict(name="normalize", mean=(0.286,), std=(0.353,)),
  )
  return dict(
    arms=dict(
      adamw_64=arm("adamw", 64, 0.01, 0.05),
      lion_64=arm("lion", 64, 0.001, 0.5),
      adamw_1024=arm("adamw", 1024, 0.01, 0.05),
      lion_1024=arm("lion", 1024, 0.01, 0.5),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.options={}",
      "scenario.test_split='test'",
      "scenario.val_fraction=0.05",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 9500}",
      "scenario.augment=()",
      f"scenario.preprocess={preprocess}",
      f"model={model}",
      "schedule={'name': 'cosine', 'peak_lr': 0.003, 'warmup_epochs': 1}",
      "total_epochs=6",
    ),
    seeds=(0, 1, 2),
    metric="test/accuracy",
    also=("val/accuracy@1.0",),
    # Equal epochs; the batches differ because they are what is compared.
    same_budget=False,
    claim="Lion no more than 0.2 points below AdamW, and its lead grows with "
    "the batch (budgets: equal epochs of either batch)",
  )
