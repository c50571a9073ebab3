"""Three ordinary networks on Fashion-MNIST: the ground that others stand on.

Run:  jaxcls compare --experiment experiments/core/erm.py --workdir DIR
Sizes: 57,000 training images, 10,000 test images; lengths differ by network,
  so this is no comparison of networks.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  config = lambda name: {"config": f"configs/supervised/{name}.py"}
  return dict(
    arms=dict(
      convnet=config("fashion_mnist"),
      vit=config("fashion_mnist_vit"),
      resnet=config("fashion_mnist_resnet"),
    ),
    seeds=(0, 1, 2),
    metric="test/accuracy",
    baseline="convnet",
    claim="the ConvNet reaches 91.5 % test accuracy on a CPU in 15 minutes",
    same_budget=False,
  )
