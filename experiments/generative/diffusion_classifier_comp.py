"""Diffusion classifiers on digits: DDPM and rectified flow.

Run:    jaxcls compare --workdir DIR \
            --experiment experiments/generative/diffusion_classifier_comp.py
Sizes:  scikit-learn's digits, 1,437 training and 360 test images of 8x8; a
        transformer of two blocks of width 96 on patches of 4, 600 steps of 128;
        30 times a class, uniform weights; 8 seeds. Width, depth and learning
        rate were chosen on 15 % of the training images, then given back.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  arm = lambda schedule: dict(
    config="configs/generative/diffusion_classifier_comp.py",
    set=(
      "learner={'name': 'diffusion', 'ema_decay': 0.99, 'num_times': 30, "
      f"'schedule': '{schedule}'}}",
    ),
  )
  preprocess = "({'name': 'normalize', 'mean': (0.5,), 'std': (0.5,)},)"
  return dict(
    arms=dict(ddpm=arm("cosine"), rectified_flow=arm("rectified_flow")),
    set=(
      "scenario={'name': 'standard', 'source': 'digits', "
      f"'preprocess': {preprocess}}}",
      "model={'name': 'denoiser', 'patch': 4, 'width': 96, 'depth': 2, "
      "'num_heads': 2}",
      "optimizer={'name': 'adamw', 'weight_decay': 0.01}",
      "schedule={'name': 'cosine', 'peak_lr': 0.002, 'warmup_steps': 50}",
      "evaluation={'metrics': ('accuracy',)}",
      "batch_size=128",
      "total_epochs=None",
      "total_steps=600",
    ),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    metric="test/accuracy",
    claim="test accuracy above 0.9 with 30 times a class",
  )
