"""NoProp beside backpropagation and forward-forward, MNIST.

Run:    jaxcls compare --experiment experiments/local/noprop.py --workdir DIR
Sizes:  3,600 training, 400 validation, 1,000 test images; ten blocks, each
        with an MLP of 128 units on the image; batch 100, 20 epochs, 8 seeds.
        Backpropagation trains the same ten blocks as one network,
        forward-forward an MLP of three layers of 500 units.

Each arm's learning rate is the best of (0.001, 0.003) on validation accuracy
with seed 100; NoProp-CT, worse at both, was also tried at 0.0003 and with its
log SNR starting at -5 to 5, -3 to 3 and -2 to 2.
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
  continuous = denoiser("diffusion", 100, log_snr_ends=(-3.0, 3.0))
  layers = dict(name="mlp", hidden=(500, 500, 500))
  return dict(
    arms=dict(
      backprop=arm(
        "noprop_dt", blocks, 0.003, "learner={'name': 'supervised'}"
      ),
      noprop_dt=arm("noprop_dt", blocks, 0.001),
      noprop_ct=arm("noprop_ct", continuous, 0.0003),
      noprop_fm=arm("noprop_fm", denoiser("flow", 100), 0.003),
      forward_forward=arm("forward_forward", layers, 0.003),
    ),
    set=(
      "scenario.source='mnist5k'",
      "scenario.val_fraction=0.1",
      "scenario.preprocess=({'name': 'normalize', 'mean': (0.1307,), "
      "'std': (0.3081,)},)",
      "batch_size=100",
      "total_epochs=20",
    ),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    metric="test/accuracy",
    also=("val/accuracy@1.0",),
    baseline="backprop",
    claim="NoProp-DT within 0.02 of backpropagation and above forward-forward",
  )
