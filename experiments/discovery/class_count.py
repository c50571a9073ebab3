"""How many classes? Estimated from features and half of six classes' labels.

Run:    jaxcls compare --experiment experiments/discovery/class_count.py
          --workdir DIR
Sizes:  as experiments/discovery/protogcd.py: 10,000 training images of
        Fashion-MNIST at 14 x 14, SimCLR for 12 epochs; then no step, 8 seeds.
        Candidates 6 to 14; the truth is 10.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  view = (
    dict(name="random_resized_crop", scale=(0.3, 1.0), size=14),
    dict(name="random_flip"),
    dict(name="color_jitter", brightness=0.4, contrast=0.4),
  )
  images = dict(
    source="fashion_mnist",
    subset=dict(name="stratified_subset", num_examples=10000),
    views=(view, view),
    preprocess=(
      dict(name="resize", size=14),
      dict(name="normalize", mean=(0.286,), std=(0.353,)),
    ),
  )
  pretrain = dict(
    name="pretrain",
    scenario=dict(name="standard", **images),
    learner=dict(
      name="contrastive", objective=dict(name="nt_xent_loss", temperature=0.1)
    ),
    optimizer=dict(name="adamw", weight_decay=0.0001),
    schedule=dict(name="cosine", peak_lr=0.003),
    evaluation=dict(metrics=()),
    batch_size=256,
    total_epochs=12,
  )
  count = dict(
    name="count",
    scenario=dict(
      name="discovery",
      old_classes=(0, 1, 2, 3, 4, 5),
      labeled_fraction=0.5,
      play="fit",
      **images,
    ),
    learner=dict(name="discovery", init_prototypes=True),
    evaluation=dict(
      metrics=("clustering_accuracy",),
      probes=(
        dict(
          name="class_count_probe",
          candidates=(6, 7, 8, 9, 10, 11, 12, 13, 14),
        ),
      ),
      batch_size=500,
    ),
    batch_size=128,
    total_steps=1,
  )
  model = dict(
    name="convnet", widths=(16, 32), hidden=128, cosine_scale=1.0,
    heads=dict(projection=dict(width=64, hidden=(128,), norm="batch")),
  )  # fmt: skip
  return dict(
    arms=dict(
      estimate=dict(
        config="configs/discovery/protogcd.py",
        set=(f"phases=({pretrain}, {count})",),
      )
    ),
    set=(f"model={model}", "log_every_steps=50", "trainable=''"),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    metric="test/class_count_probe/num_classes",
    also=(
      "test/class_count_probe/by_accuracy",
      "test/class_count_probe/by_separation",
    ),
    claim="estimate within one of ten",
  )
