"""Local search from a bad start: a hash gate that sends ids to wrong experts.

Run:    jaxcls compare --experiment experiments/core/comet_moe_search.py
        --workdir DIR
Sizes:  the data and experts of comet_moe.py; 20 epochs with the hash's experts,
        then every id goes to the expert 3 further, which was trained on other
        ids, for 5 epochs (140 steps) in which all weights train; with search, a
        permutation of the experts is learned in the first 60 of them. 5 seeds.
Chosen: on val, seed 100: the learning rate of the 5 epochs out of (0.003, 0.01,
        0.03); with search also the temperatures out of (1e-3 to 1e-7, 1 to
        0.01): 3 and 6 settings.
"""

MODEL = dict(
  name="mixture_of_experts",
  num_experts=8,
  gate="hash",
  id_columns=32,
  hidden=(20,),
)


def make_phases(learning_rate: float, **search) -> tuple:
  """Returns training with one assignment, then with another."""
  learner = dict(name="supervised")
  return (
    dict(
      name="first",
      total_epochs=20,
      model=MODEL,
      learner=learner,
      schedule=dict(name="cosine", peak_lr=0.03),
    ),
    dict(
      name="moved",
      total_epochs=5,
      model=dict(MODEL, hash_shift=3, **search),
      learner=learner,
      schedule=dict(name="cosine", peak_lr=learning_rate),
    ),
  )


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  arm = lambda *args, **kwargs: dict(
    config="configs/core/comet_moe.py",
    set=(f"phases={make_phases(*args, **kwargs)}",),
  )
  return dict(
    arms=dict(
      hash=arm(0.03),
      hash_search=arm(0.03, search_steps=60, search_tau=(1.0, 0.01)),
    ),
    set=(
      "scenario.options={'num_examples': 4000}",
      "scenario.val_fraction=0.1",
      "batch_size=128",
      "log_every_steps=28",
    ),
    seeds=(0, 1, 2, 3, 4),
    metric="test/accuracy",
    baseline="hash",
    claim="after the move, a hash gate with local search is more accurate than "
    "without in at least 4 of 5 seeds",
  )
