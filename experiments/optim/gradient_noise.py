"""Gradient noise in a 20-layer network with a poor initialisation.

Run:    jaxcls compare --experiment experiments/optim/gradient_noise.py \
            --workdir DIR
Sizes:  3,800 training images of MNIST, 1,000 test images, 60 epochs, 10 seeds.

Learning rate and eta were chosen on validation accuracy with one seed, from
(0.03, 0.1, 0.3) and the paper's (0.01, 0.3, 1); without noise no learning rate
left chance level.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  config = "configs/optim/gradient_noise.py"
  noise = lambda gamma: (
    "optimizer.transforms=({'name': 'add_gradient_noise', 'eta': 0.3, "
    f"'gamma': {gamma}}},)"
  )
  plain = "optimizer.transforms=()"
  return dict(
    arms=dict(
      plain=dict(config=config, set=(plain,)),
      annealed=dict(config=config, set=(noise(0.55),)),
      fixed=dict(config=config, set=(noise(0.0),)),
      he_plain=dict(config=config, set=(plain, "model.init='he_normal'")),
      he_annealed=dict(
        config=config, set=(noise(0.55), "model.init='he_normal'")
      ),
    ),
    set=(
      "scenario.source='mnist5k'",
      "schedule.peak_lr=0.03",
      "total_epochs=60",
      "log_every_steps=100",
    ),
    seeds=tuple(range(10)),
    metric="test/accuracy",
    claim="noise: higher median accuracy and more runs above 0.8",
  )
