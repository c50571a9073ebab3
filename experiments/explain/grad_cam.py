"""Grad-CAM on digits on a canvas: where it points, and at what planted mark.

Every image has an 8x8 tile in a corner. In the biased arm it shows the class
in training, in the other it is drawn at random; in the test set it shows the
class, for both. All methods are measured on the same trained models.

Run:    jaxcls compare --experiment experiments/explain/grad_cam.py \
            --workdir DIR
Sizes:  4,000 training images of 48x48, ConvNet of widths 16, 32, 32 pooled to
        their mean, 10 epochs; maps of 500 of the 1,000 test images, 8 seeds.
        Settings were fixed beforehand; nothing was tuned.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  options = "scenario.options={'image_size': 48, 'watermark': %s, %s}"
  options %= ("%s", "'test_watermark': 1.0")
  config = "configs/explain/grad_cam.py"
  methods = (
    "grad_cam(stage3)",
    "grad_cam(stage2)",
    "grad_cam(stage1)",
    "guided_grad_cam(stage3)",
    "gradient_saliency",
    "random_saliency",
  )
  metrics = (
    "pointing_game", "localization_iou", "mass_inside(mark_box)",
    "insertion_area", "deletion_area", "randomization_sensitivity",
  )  # fmt: skip
  layered = "{'name': '%s', 'layer': '%s'}"
  explanations = (
    "evaluation.explanations={'methods': ("
    + ", ".join(
      layered % tuple(m[:-1].split("(")) if "(" in m else repr(m)
      for m in methods
    )
    + "), 'metrics': ('pointing_game', 'localization_iou', "
    "{'name': 'mass_inside', 'boxes': 'mark_box'}, 'insertion_area', "
    "'deletion_area', 'randomization_sensitivity'), 'num_examples': 500}"
  )
  first = "test/pointing_game/grad_cam(stage3)"
  names = [f"test/{metric}/{m}" for metric in metrics for m in methods]
  return dict(
    arms=dict(
      unbiased=dict(config=config, set=(options % 0.0,)),
      biased=dict(config=config, set=(options % 1.0,)),
    ),
    set=(
      "scenario.source='mnist5k_canvas'",
      "scenario.test_split='test'",
      "scenario.val_fraction=0.0",
      "scenario.augment=()",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.1,), "
      "'std': (0.3,)},)",
      "model={'name': 'convnet', 'widths': (16, 32, 32), 'hidden': None}",
      "learner={'name': 'supervised'}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.02}",
      "schedule={'name': 'cosine', 'peak_lr': 0.005, 'warmup_epochs': 1}",
      "total_epochs=10",
      "batch_size=64",
      "evaluation.batch_size=100",
      "workers=0",
      explanations,
    ),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    metric=first,
    also=("test/accuracy", *(name for name in names if name != first)),
    claim="unbiased: the last layer's maps hit the digit in over 90 % of the "
    "images, more than the vanilla gradient and chance; biased: their mass is "
    "on the mark; maps change when the weights are shuffled",
  )
