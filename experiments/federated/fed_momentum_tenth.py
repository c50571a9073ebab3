"""Momentum under label skew, a tenth of a hundred clients a round.

Run:    jaxcls compare --workdir DIR \
            --experiment experiments/federated/fed_momentum_tenth.py
Sizes:  57,000 training images of Fashion-MNIST dealt to 100 clients
        (Dirichlet 0.1), 10 of them a round, 16 local steps of 20 images,
        300 rounds, an MLP of 128 units; 3,000 validation, 10,000 test
        images; 8 seeds.

beta = 0.1; the local learning rate of each arm is the one of (0.01, 0.03, 0.1,
0.3, 1) that needed fewest rounds to 0.8 validation accuracy with seed 100.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""

  def arm(lr, **learner):
    learner = dict(
      name="federated", num_clients=100, clients_per_round=10, local_steps=16,
      local_lr=lr, **learner,
    )  # fmt: skip
    return dict(
      config="configs/federated/fed_momentum.py", set=(f"learner={learner}",)
    )

  return dict(
    arms=dict(
      fedavg=arm(0.1),
      fedavg_m=arm(1.0, beta=0.1),
      scaffold=arm(0.03, control_variates=True),
      scaffold_m=arm(0.3, beta=0.1, control_variates=True),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 57000}",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.286,), "
      "'std': (0.353,)},)",
      "scenario.num_clients=100",
      "scenario.clients_per_round=10",
      "scenario.alpha=0.1",
      "model={'name': 'mlp', 'hidden': (128,)}",
      "batch_size=3200",
      "total_steps=300",
      "evaluation.every_steps=2",
    ),
    seeds=tuple(range(8)),
    metric="val/accuracy>=0.8",
    also=("test/accuracy", "val/accuracy@1.0"),
    claim="momentum: fewer rounds to the same accuracy",
  )
