"""COMET and COMET+ against top-k and hash gates, equal parameters.

Run:    jaxcls compare --experiment experiments/core/comet_moe.py --workdir DIR
        python experiments/core/comet_moe_gates.py --runs DIR
Sizes:  4 linear rules, each for 8 of 32 ids; 3,600 training, 400 validation,
        4,000 test examples; 8 experts of one hidden layer, k = 2, 7.3 to 7.6
        thousand parameters in every arm; batch 128, 30 epochs (840 steps), 5
        seeds.
Chosen: on val, seed 100: the learning rate of each arm out of (0.003, 0.01,
        0.03); COMET's penalty out of (0.01, 0.1); COMET+ (with penalty 0.01)
        its temperatures out of (1e-3 to 1e-7, 1 to 0.01); its rate
        0.01 tied with 0.003. Settings tried:
        6, 6, 3 and 3. comet_light is COMET+ without the search,
        comet_strong has penalty 1; both were added after the others' figures.
"""

EXPERTS = dict(name="mixture_of_experts", num_experts=8)


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(lr, penalty=None, **model):
    learner = dict(name="supervised")
    if penalty:
      learner["regularizers"] = (
        dict(name="entropy", output="log_paths", weight=penalty),
      )
    return dict(
      config="configs/core/comet_moe.py",
      set=(
        f"model={dict(EXPERTS, **model)}",
        f"learner={learner}",
        f"schedule.peak_lr={lr}",
      ),
    )

  comet = dict(gate="comet", k=2, gamma=1.0, hidden=(16,))
  return dict(
    arms=dict(
      comet=arm(0.01, 0.1, **comet),
      comet_plus=arm(
        0.01, 0.01, **comet, search_steps=200, search_tau=(1e-3, 1e-7)
      ),
      comet_light=arm(0.01, 0.01, **comet),
      comet_strong=arm(0.01, 1.0, **comet),
      top_k=arm(0.01, gate="top_k", k=2, hidden=(19,)),
      hash=arm(0.03, gate="hash", id_columns=32, hidden=(20,)),
    ),
    set=(
      "scenario.options={'num_examples': 4000}",
      "scenario.val_fraction=0.1",
      "batch_size=128",
      "total_epochs=30",
      "log_every_steps=28",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    also=("train/loss@1.0",),
    baseline="comet",
    claim="COMET at least as accurate as top-k and as hash routing; at least "
    "95 % of the test examples use no more than k experts, the other weights "
    "are exactly 0",
  )
