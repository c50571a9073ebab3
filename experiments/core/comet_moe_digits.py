"""COMET and COMET+ against other gates: two overlapping digits.

Run:    jaxcls compare --experiment experiments/core/comet_moe_digits.py \
            --workdir DIR
        python experiments/core/comet_moe_gates.py --runs DIR
Sizes:  20,000 pairs of 4,000 digits (18,000 to train), 4,000 pairs of 1,000
        others to test, 14 x 22 pixels, 100 classes; 8 experts of one hidden
        layer of 32, k = 2; batch 256, 15 epochs (1,050 steps), 5 seeds.
Chosen: on val, seed 100: each arm's learning rate out of (0.001, 0.003, 0.01,
        0.03). COMET's penalty is 0.01, COMET+'s temperatures 1e-3 to 1e-7, as
        in comet_moe.py.

The hash goes by the position of the brightest pixel: images have no ids.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(lr, penalty=None, **model):
    learner = dict(name="supervised")
    if penalty:
      learner["regularizers"] = (
        dict(name="entropy", output="log_paths", weight=penalty),
      )
    model = dict(
      name="mixture_of_experts", num_experts=8, hidden=(32,), **model
    )
    return dict(
      config="configs/core/comet_moe.py",
      set=(
        f"model={model}", f"learner={learner}", f"schedule.peak_lr={lr}",
      ),
    )  # fmt: skip

  comet = dict(gate="comet", k=2, gamma=1.0)
  return dict(
    arms=dict(
      comet=arm(0.01, 0.01, **comet),
      comet_plus=arm(
        0.01, 0.01, **comet, search_steps=200, search_tau=(1e-3, 1e-7)
      ),
      top_k=arm(0.01, gate="top_k", k=2),
      hash=arm(0.003, gate="hash", id_columns=308),
      softmax=arm(0.03, gate="softmax"),
    ),
    set=(
      "scenario.source='mnist5k_pairs'",
      "scenario.options={}",
      "scenario.val_fraction=0.1",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.2,), "
      "'std': (0.35,)},)",
      "batch_size=256",
      "total_epochs=15",
      "log_every_steps=35",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("train/loss@1.0",),
    baseline="comet",
    claim="COMET at least as accurate as top-k and as hash routing",
  )
