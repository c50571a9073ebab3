"""TrAct on the patch embedding of a ViT, with three quarters of the epochs.

Run:    jaxcls compare --experiment experiments/optim/tract_vit.py --workdir DIR
Sizes:  10,000 training images of Fashion-MNIST, 10,000 test images; a ViT of 2
        blocks of width 64 on patches of 7; AdamW, batch 128; 12 epochs (9 for
        the short arm), 5 seeds.

The learning rate of both was chosen on validation accuracy from the same grid
(0.001, 0.002, 0.004, 0.008) with seed 100: 0.004 for both.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  config = "configs/optim/tract.py"
  model = (
    "model={'name': 'vit', 'variant': 'Ti/7', 'width': 64, 'depth': 2, "
    "'num_heads': 4, 'tract_ridge': "
  )
  return dict(
    arms=dict(
      ordinary=dict(config=config, set=(model + "None}",)),
      tract=dict(config=config, set=(model + "0.1}",)),
      tract_short=dict(config=config, set=(model + "0.1}", "total_epochs=9")),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 10000}",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.286,), "
      "'std': (0.353,)},)",
      "optimizer={'name': 'adamw', 'weight_decay': 0.01}",
      "schedule={'name': 'cosine', 'peak_lr': 0.004, 'warmup_steps': 50}",
      "total_epochs=12",
      "log_every_steps=20",
    ),
    seeds=tuple(range(5)),
    metric="test/accuracy",
    also=("val/accuracy", "train/loss@0.25"),
    same_budget=False,
    claim="with 0.75 of the epochs, at least the ordinary accuracy",
  )
