"""Ordinary training on Fashion-MNIST: the ground that others stand on.

Run:    jaxcls compare --experiment experiments/core/erm.py --workdir DIR
Sizes:  57,000 training, 3,000 validation, 10,000 test images; 8 epochs.
Cost:   5 to 8 minutes a seed on two shared CPU cores.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  return dict(
    arms=dict(convnet=dict(config="configs/supervised/fashion_mnist.py")),
    seeds=(0, 1, 2),
    metric="test/accuracy",
    claim="91.5 % test accuracy on a CPU within 15 minutes",
  )
