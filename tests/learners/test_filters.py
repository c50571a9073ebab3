import numpy as np
import pytest

from jaxcls import engine, learners

LEARNER = dict(
  name="supervised", ema_decay=0.9,
  filters=dict(name="pca_filters", num_patches=400, num_images=50),
)  # fmt: skip


def test_frozen_filters_are_those_of_the_patches(tiny, tmp_path):
  config = tiny(
    learner=LEARNER, trainable="^(?!convs/0/)", total_steps=3,
    model=dict(name="convnet", widths=(3,), hidden=8),
    scenario__preprocess=(dict(name="normalize", mean=(0.5,), std=(0.25,)),),
    evaluation__every_steps=None,
  )  # fmt: skip
  engine.train(config, str(tmp_path))
  run = engine.load_run(str(tmp_path))
  kernel = np.asarray(run.state.params["convs/0/kernel"])
  average = run.state.memory["ema"]["params"]["convs/0/kernel"]
  np.testing.assert_allclose(average, kernel, rtol=1e-6)
  # All patches of all images: near what 400 of them gave.
  source = next(iter(run.stage.streams.values())).source
  batch = run.transform(source.fetch(source.ids))
  windows = np.lib.stride_tricks.sliding_window_view(
    np.asarray(batch["image"])[..., 0], (3, 3), axis=(1, 2)
  )
  windows, flat = windows.reshape(-1, 9), kernel.reshape(9, 3)
  np.testing.assert_allclose(flat.T @ flat, np.eye(3), atol=1e-5)
  best = np.linalg.eigvalsh(np.cov(windows.T))[-3:].sum()
  assert (windows @ flat).var(axis=0).sum() > 0.9 * best
  assert np.abs(np.asarray(run.state.params["head/kernel"])).max() > 0


def test_bad_filters(tiny, tmp_path):
  filters = lambda **changes: {**LEARNER["filters"], **changes}
  with pytest.raises(ValueError, match="pca_filters"):
    learners.Supervised(filters=filters(name="pca_filter"))
  with pytest.raises(ValueError, match="num_patches must be at least 1"):
    learners.Supervised(filters=filters(num_patches=0))
  config = tiny(learner={**LEARNER, "filters": filters(path="convs/1/kernel")})
  with pytest.raises(ValueError, match="'convs/0/kernel'"):
    engine.train(config, str(tmp_path))
