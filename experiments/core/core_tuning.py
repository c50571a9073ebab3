"""Core-tuning against CE-tuning and CE + SupCon, from SimCLR, Fashion-MNIST.

Run:    jaxcls compare --experiment experiments/core/core_tuning.py \
            --workdir DIR
Sizes:  14 x 14 pixels, ConvNet of widths 16, 32. SimCLR on 20,000 images
        without labels, 4 epochs of batch 256; then 1,000 of them with labels,
        60 epochs of batch 128. 10,000 test images, 5 seeds, each with its own
        pretraining, the same for all arms.
Chosen: learning rate (0.003, 0.01 or 0.03) and, with a contrastive loss, its
        weight (0.1, 1 or 10) on val, seed 100, the same grid for every arm,
        after 8 epochs of SimCLR and 40 of fine-tuning.
"""

ARMS = dict(
  ce=(0.01, dict()),
  supcon=(
    0.01,
    dict(objective=dict(name="supcon_loss", temperature=0.07), weight=0.1),
  ),
  core=(
    0.01,
    dict(
      objective=dict(name="focal_supcon_loss", temperature=0.07),
      weight=0.1,
      hard_pairs=dict(alpha=1.0),
    ),
  ),
)


def make_phases(learning_rate: float, learner: dict) -> tuple:
  """Returns pretraining and fine-tuning."""
  data = dict(
    name="standard",
    source="fashion_mnist",
    val_fraction=0.05,
    preprocess=(
      dict(name="resize", size=14),
      dict(name="normalize", mean=(0.286,), std=(0.353,)),
    ),
  )
  view = (
    dict(name="random_resized_crop", scale=(0.3, 1.0), size=14),
    dict(name="random_flip"),
    dict(name="color_jitter", brightness=0.4, contrast=0.4),
  )
  subset = lambda n: dict(name="stratified_subset", num_examples=n)
  encoder = dict(name="convnet", widths=(16, 32), hidden=128)
  return (
    dict(
      name="pretrain",
      total_epochs=4,
      batch_size=256,
      scenario=dict(**data, subset=subset(20000), views=(view, view)),
      model=dict(
        **encoder,
        heads=dict(projection=dict(width=64, hidden=(128,), norm="batch")),
      ),
      learner=dict(
        name="contrastive", objective=dict(name="nt_xent_loss", temperature=0.1)
      ),
      schedule=dict(name="cosine", peak_lr=0.003, warmup_epochs=1),
      evaluation=dict(metrics=()),
    ),
    dict(
      name="finetune",
      total_epochs=60,
      batch_size=128,
      scenario=dict(
        **data,
        subset=subset(1000),
        augment=(
          dict(name="random_crop", padding=2),
          dict(name="random_flip"),
        ),
      ),
      model=dict(
        **encoder, heads=dict(projection=dict(width=64, hidden=(128,)))
      ),
      learner=dict(name="fine_tune", **learner),
      schedule=dict(name="cosine", peak_lr=learning_rate),
      evaluation=dict(probes=("scatter_probe",)),
      inherit="^(?!head)",
    ),
  )


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  return dict(
    arms={
      name: dict(
        config="configs/core/core_tuning.py",
        set=(f"phases={make_phases(*arm)}",),
      )
      for name, arm in ARMS.items()
    },
    set=(
      "optimizer={'name': 'adamw', 'weight_decay': 0.0001}",
      "total_epochs=60",
      "log_every_steps=40",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("test/scatter_probe/within", "test/scatter_probe/ratio"),
    baseline="ce",
    claim="Core-tuning above CE-tuning and not below CE + SupCon in accuracy; "
    "scatter within classes below CE-tuning's in every seed",
  )
