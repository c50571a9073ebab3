"""As noprop.py, on Fashion-MNIST: DT, backpropagation, forward-forward.

Run:    jaxcls compare --experiment experiments/local/noprop_fashion.py \
            --workdir DIR
Sizes:  10,000 training, 3,000 validation, 10,000 test images; ten blocks, each
        with an MLP of 128 units on the image; batch 100, 20 epochs, 8 seeds.

The learning rates are those that MNIST chose; nothing was tuned here.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  trunk = dict(name="mlp", hidden=(128,))
  denoiser = lambda process, steps, **more: dict(
    name="label_denoiser", trunk=trunk, process=process, steps=steps, **more
  )
  arm = lambda config, model, lr, *more: dict(
    config=f"configs/local/{config}.py",
    set=(f"model={model}", f"schedule.peak_lr={lr}", *more),
  )
  blocks = denoiser("discrete", 10)
  layers = dict(name="mlp", hidden=(500, 500, 500))
  return dict(
    arms=dict(
      backprop=arm(
        "noprop_dt", blocks, 0.003, "learner={'name': 'supervised'}"
      ),
      noprop_dt=arm("noprop_dt", blocks, 0.001),
      forward_forward=arm("forward_forward", layers, 0.003),
    ),
    set=(
      "scenario.source='fashion_mnist'",
      "scenario.val_fraction=0.05",
      "scenario.subset={'name': 'stratified_subset', 'num_examples': 10000}",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.286,), "
      "'std': (0.353,)},)",
      "batch_size=100",
      "total_epochs=20",
    ),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    metric="test/accuracy",
    also=("val/accuracy@1.0",),
    baseline="backprop",
    claim="NoProp-DT within 0.02 of backpropagation and above forward-forward",
  )
