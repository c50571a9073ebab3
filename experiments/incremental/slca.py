"""SLCA against sequential fine-tuning, MNIST in five tasks of two digits.

Run:    jaxcls compare --experiment experiments/incremental/slca.py \
            --workdir DIR
Sizes:  pretraining on 10,000 images of Fashion-MNIST (5 epochs), then 4,000
        training images of MNIST, 10 epochs a task; 1,000 test images, 8 seeds.

Arms: both learning rates equal, without alignment (sequential); body 0.1 of
the head's rate, without alignment (slow); slow with plain cross-entropy in the
alignment; SLCA; a frozen body without alignment; all ten digits at once.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  normalize = "({'name': 'normalize', 'mean': (%s,), 'std': (%s,)},)"
  pretrain = (
    "{'name': 'pretrain', 'learner': {'name': 'supervised'}, "
    "'scenario': {'name': 'standard', 'source': 'fashion_mnist', "
    "'subset': {'name': 'stratified_subset', 'num_examples': 10000}, "
    f"'preprocess': {normalize % (0.286, 0.353)}}}, "
    "'optimizer': {'name': 'adamw', 'weight_decay': 0.02}, "
    "'schedule': {'name': 'cosine', 'peak_lr': 0.002}, 'total_epochs': 5}"
  )

  tasks = "'name': 'class_incremental', 'task_sizes': (2, 2, 2, 2, 2)"

  def arm(learner, scale=0.1, trainable="", scenario=tasks):
    incremental = (
      "{'name': 'incremental', 'inherit': '^(?!head)', "
      f"'trainable': '{trainable}', 'learner': {learner}, "
      f"'scenario': {{{scenario}, 'source': 'mnist5k', "
      f"'preprocess': {normalize % (0.131, 0.308)}}}, "
      "'optimizer': {'name': 'sgd', 'momentum': 0.9, 'weight_decay': 5e-4, "
      f"'groups': ({{'pattern': '^(?!head)', 'lr_scale': {scale}}},)}}, "
      "'schedule': {'name': 'cosine', 'peak_lr': 0.01}, "
      "'total_epochs': 10, "
      "'evaluation': {'metrics': ('accuracy', 'task_accuracy')}}"
    )
    return dict(
      config="configs/incremental/slca.py",
      set=(f"phases=({pretrain}, {incremental})",),
    )

  aligned = lambda **kw: str(dict(name="aligned_classifier", **kw))
  return dict(
    arms=dict(
      sequential=arm(aligned(align=False), scale=1.0),
      slow=arm(aligned(align=False)),
      slow_plain_alignment=arm(aligned(temperature=None)),
      slca=arm(aligned()),
      frozen=arm(aligned(align=False), trainable="^head"),
      joint=arm("{'name': 'supervised'}", 1.0, scenario="'name': 'standard'"),
    ),
    set=(
      "model={'name': 'convnet', 'widths': (16, 32), 'hidden': 64, "
      "'norm': 'layer'}",
      "batch_size=64",
    ),
    seeds=tuple(range(8)),
    metric="test/accuracy",
    also=(),
    claim="last accuracy at least 0.2 above sequential fine-tuning, above the "
    "slow learner alone and a frozen body",
  )
