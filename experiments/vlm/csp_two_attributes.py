"""CSP learned on attribute-object pairs, tested on two attributes an object.

Run:    jaxcls compare --experiment experiments/vlm/csp_two_attributes.py \
            --workdir DIR
Sizes:  5 shapes at 16 pixels in 6 colours, in 3 patterns, or in a colour and a
        pattern: 135 classes, a fixed 81 of them seen. TinyCLIP (that of
        csp.py) learns 1,000 steps of 128 from 5,800 captioned images of the
        seen classes, of one attribute and of two, in the rendering "varied";
        then 300 steps of 128 on 1,900 images of the 26 seen classes with one
        attribute in "shifted". Test: about 900 images of 20 unseen classes
        with two attributes, which compete with one another; chance is 0.05.
        Val has 15 others. 5 seeds, each with its own TinyCLIP.

The second phase sees no image and no prompt of two attributes: words learned
one at a time are put together. An object without a colour is grey, one without
a pattern plain; its prompt has a blank there. As in csp.py the hues of the
colour words are turned by 22 degrees in "shifted". The arms differ in what the
second phase learns: nothing (learning rate 0), a prefix, or one vector a word.
Learning rates are those that val chose in csp.py.
"""


def get_experiment() -> dict:
  """Returns arms, seeds, metric and claim."""
  model = (
    "'name': 'two_tower', 'prompts': {'num_attributes': 6, 'num_objects': 5, "
    "'num_patterns': 3}, 'image': {'name': 'convnet', 'widths': (16, 32), "
    "'hidden': 64, 'norm': 'group'}, 'embed_dim': 32, 'text_width': 32, "
    "'text_depth': 1"
  )
  scenario = lambda rendering, rows: (
    "'scenario': {'name': 'compositional_zero_shot', 'source': 'shapes', "
    "'num_objects': 5, 'options': {'image_size': 16, 'num_objects': 5, "
    "'num_patterns': 3, 'num_train': 12000, 'num_test': 6000, "
    f"'rendering': '{rendering}'}}, 'train_rows': {rows}, "
    "'eval_rows': (9, 27)}"
  )
  pretrain = (
    f"{{'name': 'pretrain', {scenario('varied', None)}, 'model': {{{model}}}, "
    "'learner': {'name': 'two_tower', 'blank_rate': 0.3}, "
    "'optimizer': {'name': 'adamw', 'weight_decay': 0.02}, 'schedule': "
    "{'name': 'cosine', 'peak_lr': 0.002, 'warmup_steps': 50}, "
    "'total_steps': 1000}"
  )

  def arm(config, soft, peak_lr):
    prompt = (
      f"{{'name': 'prompt', {scenario('shifted', (0, 9))}, 'model': {{{model}, "
      f"'soft': '{soft}', 'soft_dropout': 0.3}}, 'learner': {{'name': "
      "'prompt'}, 'trainable': 'soft', 'optimizer': {'name': 'adamw', "
      "'weight_decay': 1e-5, 'decay_pattern': 'soft'}, 'schedule': {'name': "
      f"'cosine', 'peak_lr': {peak_lr}}}, 'total_steps': 300}}"
    )
    return dict(
      config=f"configs/vlm/{config}.py", set=(f"phases=({pretrain}, {prompt})",)
    )

  return dict(
    arms=dict(
      zero_shot=arm("csp", "words", 0.0),
      coop=arm("coop", "prefix", 0.03),
      csp=arm("csp", "words", 0.03),
    ),
    set=("evaluation.metrics=('best_unseen_accuracy',)",),
    seeds=(0, 1, 2, 3, 4),
    metric="test/best_unseen_accuracy",
    claim="accuracy on unseen classes with two attributes: CSP, learned with "
    "one attribute at a time, above zero-shot and above CoOp",
  )
