"""CAFA against no adaptation, batch statistics, pseudo-labels and TENT.

Run:    jaxcls compare --experiment experiments/shift/cafa.py --workdir DIR
Sizes:  10,000 training images of Fashion-MNIST, 5 epochs; then 2,000 test
        images in ten batches of 200 under each of 7 corruptions at severity
        5, one step a batch with Adam, 8 seeds.

The learning rate is the paper's 1e-3 for all; every corruption starts from the
source model. The metric is the mean accuracy of the predictions made before
each step.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  preprocess = "({'name': 'normalize', 'mean': (0.286,), 'std': (0.353,)},)"
  subset = "{'name': 'stratified_subset', 'num_examples': 10000}"
  shared = (
    f"'source': 'fashion_mnist', 'subset': {subset}, 'preprocess': {preprocess}"
  )

  def arm(objective, batch_statistics=True):
    learner = dict(
      name="test_time_adaptation",
      objective=objective,
      batch_statistics=batch_statistics,
    )
    source = (
      f"{{'name': 'source', 'scenario': {{'name': 'standard', {shared}}}, "
      "'learner': {'name': 'supervised'}, "
      "'optimizer': {'name': 'adamw', 'weight_decay': 0.02}, "
      "'schedule': {'name': 'cosine', 'peak_lr': 0.002}, 'batch_size': 128, "
      "'total_epochs': 5}"
    )
    adapt = (
      f"{{'name': 'adapt', 'scenario': {{'name': 'test_time', {shared}, "
      f"'num_examples': 2000}}, 'learner': {learner}, 'trainable': 'norm', "
      "'optimizer': {'name': 'adam'}, 'schedule': {'name': 'constant', "
      "'peak_lr': 0.001}, 'batch_size': 200, 'total_epochs': 1}"
    )
    return dict(
      config="configs/shift/cafa.py", set=(f"phases=({source}, {adapt})",)
    )

  return dict(
    arms=dict(
      source=arm(None, batch_statistics=False),
      batch_statistics=arm(None),
      pseudo_label=arm("cross_entropy_loss"),
      tent=arm("entropy"),
      cafa=arm("class_aware_alignment_loss"),
    ),
    set=(
      "model={'name': 'convnet', 'widths': (16, 32), 'hidden': 64}",
      "log_every_steps=10",
    ),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    metric="stages/average_prequential_accuracy",
    also=tuple(
      f"stages/{name}/accuracy"
      for name in (
        "gaussian_noise", "gaussian_blur", "contrast", "rotation",
        "occlusion", "brightness", "invert",
      )
    ),
    claim="above the source model and batch statistics, at least TENT",
  )  # fmt: skip
