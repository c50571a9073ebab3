"""ProtoGCD against SimGCD and k-means: six old classes, four to be found.

Run:    jaxcls compare --experiment experiments/discovery/protogcd.py
          --workdir DIR
Sizes:  Fashion-MNIST at 14 x 14, 10,000 training images; classes 0 to 5 old,
        half of their images labelled; ConvNet of widths 16, 32. Every run
        first pretrains by SimCLR without labels (batch 256, 12 epochs), then
        learns 1,000 steps of batch 128; 8 seeds, which also draw the labels.

k-means is semi-supervised and spherical, on the pretrained features; it takes
no step. Learning rate: of 0.001, 0.003 and 0.01 the best on val, seed 100; 0.01
for both. Outliers are 1,000 images of MNIST, told by the energy score.
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
    val_fraction=0.05,
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

  def arm(play="train", **learner):
    discover = dict(
      name="discover",
      scenario=dict(
        name="discovery",
        old_classes=(0, 1, 2, 3, 4, 5),
        labeled_fraction=0.5,
        play=play,
        outliers="mnist5k",
        **images,
      ),
      learner=dict(name="discovery", **learner),
      # The body alone is handed over.
      inherit="^(convs|norms|hidden)/",
      optimizer=dict(name="adamw", weight_decay=0.0001),
      schedule=dict(name="cosine", peak_lr=0.01),
      evaluation=dict(
        metrics=(
          "clustering_accuracy",
          "old_clustering_accuracy",
          "new_clustering_accuracy",
          "roc_auc",
        ),
        outputs=dict(outliers="energy_outlier"),
        every_steps=500,
        batch_size=500,
      ),
      batch_size=128,
      total_steps=1000,
    )
    return dict(
      config="configs/discovery/protogcd.py",
      set=(f"phases=({pretrain}, {discover})",),
    )

  model = dict(
    name="convnet", widths=(16, 32), hidden=128, cosine_scale=1.0,
    heads=dict(projection=dict(width=64, hidden=(128,), norm="batch")),
  )  # fmt: skip
  # The papers' ramps: 30 and 100 of 200 epochs.
  return dict(
    arms=dict(
      kmeans=arm(play="fit", init_prototypes=True),
      simgcd=arm(teacher_ramp_steps=150),
      protogcd=arm(
        teacher_end=0.05,
        ratio_start=0.2,
        ratio_end=1.0,
        ratio_ramp_steps=500,
        separation_weight=1.0,
      ),
    ),
    set=(f"model={model}", "log_every_steps=50", "trainable=''"),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    metric="unlabeled/clustering_accuracy",
    also=(
      "unlabeled/old_clustering_accuracy",
      "unlabeled/new_clustering_accuracy",
      "test/clustering_accuracy",
      "val/clustering_accuracy",
      "outliers/roc_auc",
    ),
    baseline="simgcd",
    claim=(
      "All accuracy of ProtoGCD above k-means, New accuracy above SimGCD's; "
      "area under the ROC curve against digits over 0.8"
    ),
  )
