"""CoOp: a learned prefix in place of "a photo of", CLIP ViT-L/14.

Pretrains CLIP on captioned shapes, then learns the three vectors before the
attribute and the object on the seen pairs of another rendering.

Run:    jaxcls train --config configs/vlm/coop.py --workdir DIR
Source: Zhou et al. 2021, arXiv:2109.01134, as the baseline of Nayak et al.
  2022, arXiv:2204.03574: the prefix starts at "a photo of"; sizes and learning
  rate of configs/vlm/csp.py.
Ours:   not run at this size; experiments/vlm has a small one.
"""

import ml_collections


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
  """Returns the config; mode is "full" or "smoke" (2 steps, fake data)."""
  smoke = mode == "smoke"
  size = 28 if smoke else 224
  model = dict(
    name="two_tower",
    prompts=dict(num_attributes=6, num_objects=8),
    image=dict(
      name="vit",
      variant="mu/14" if smoke else "L/14",
      pool="cls",
      remat="none" if smoke else "cheap",
    ),
    embed_dim=32 if smoke else 768,
    text_width=32 if smoke else 768,
    text_depth=1 if smoke else 12,
    text_heads=2 if smoke else 12,
    dtype="float32" if smoke else "bfloat16",
  )
  scenario = dict(
    name="compositional_zero_shot", source="shapes", num_objects=8
  )
  c = ml_collections.ConfigDict(dict(seed=0, batch_size=128))
  c.evaluation = dict(
    metrics=(
      "seen_unseen_auc",
      "best_harmonic_mean",
      "best_seen_accuracy",
      "best_unseen_accuracy",
      "seen_pair_accuracy",
      "unseen_pair_accuracy",
      dict(name="seen_unseen_auc", world="open"),
      dict(name="best_harmonic_mean", world="open"),
    )
  )
  c.phases = (
    dict(
      name="pretrain",
      scenario=dict(
        **scenario, options=dict(image_size=size, rendering="varied")
      ),
      model=model,
      learner=dict(name="two_tower", blank_rate=0.3),
      optimizer=dict(name="adamw", weight_decay=0.2, b2=0.98),
      schedule=dict(name="cosine", peak_lr=5e-4, warmup_epochs=2),
      total_epochs=32,
    ),
    dict(
      name="prompt",
      scenario=dict(
        **scenario, options=dict(image_size=size, rendering="shifted")
      ),
      model=dict(**model, soft="prefix", soft_dropout=0.3),
      learner=dict(name="prompt"),
      trainable="soft",
      optimizer=dict(name="adam", weight_decay=1e-5, decay_pattern="soft"),
      schedule=dict(name="constant", peak_lr=5e-5),
      total_epochs=20,
    ),
  )
  return c
