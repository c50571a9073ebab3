"""NormGrad on digits on a canvas: single layers, combined, after a meta step.

The unbiased arm of grad_cam.py; all methods are measured on one model a seed.

Run:    jaxcls compare --experiment experiments/explain/norm_grad.py \
            --workdir DIR
Sizes:  4,000 training images of 48x48, ConvNet of widths 16, 32, 32 pooled to
        their mean, 10 epochs; maps of 250 of the 1,000 test images, 8 seeds.
        Settings (epsilon too) were fixed beforehand; nothing was tuned.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  stages = ("stage1", "stage2", "stage3")
  at = "{'name': '%s', 'layer': '%s'}"
  meta = "{'name': 'meta_saliency', 'method': %s, 'epsilon': 0.001}"
  combined = (
    "{'name': 'combine_layers', 'method': '%s', "
    "'layers': ('stage1', 'stage2', 'stage3')}"
  )
  methods, names = [], []
  for name in ("norm_grad", "grad_cam", "linear_approximation"):
    methods += [at % (name, stage) for stage in stages]
    names += [f"{name}({stage})" for stage in stages]
    methods += [combined % name, meta % (at % (name, "stage3"))]
    names += [
      f"combine_layers(stage1+stage2+stage3, {name})",
      f"meta_saliency(epsilon=0.001, {name}(stage3))",
    ]
  methods += [repr("gradient_saliency"), meta % repr("gradient_saliency")]
  names += [
    "gradient_saliency",
    "meta_saliency(epsilon=0.001, gradient_saliency)",
  ]
  methods.append(repr("random_saliency"))
  names.append("random_saliency")
  metrics = ("pointing_game", "class_sensitivity")
  explanations = (
    f"evaluation.explanations={{'methods': ({', '.join(methods)}), "
    f"'metrics': {metrics}, 'num_examples': 250}}"
  )
  first = f"test/pointing_game/{names[3]}"
  every = [f"test/{metric}/{name}" for metric in metrics for name in names]
  return dict(
    arms=dict(canvas=dict(config="configs/explain/norm_grad.py")),
    set=(
      "scenario.source='mnist5k_canvas'",
      "scenario.options={'image_size': 48, 'watermark': 0.0, "
      "'test_watermark': 1.0}",
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
      "evaluation.batch_size=50",
      "workers=0",
      explanations,
    ),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    metric=first,
    also=("test/accuracy", *(name for name in every if name != first)),
    claim="combined NormGrad points at least as well as each single layer, "
    "better than Grad-CAM at early layers; a meta step lowers the class "
    "correlation of every method",
  )
