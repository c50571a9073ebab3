import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxcls import engine, evaluation, explain, models

MAPS = jax.random.uniform(jax.random.key(0), (5, 12, 10)) ** 3
BOXES = jnp.array(
  [[0, 0, 12, 10], [2, 3, 7, 9], [0, 0, 1, 1], [5, 5, 11, 9], [1, 0, 12, 4]]
)


def test_pointing_game_and_mass_match_a_loop():
  hits = jax.jit(evaluation.pointing_game)(MAPS, BOXES)
  mass = jax.jit(evaluation.mass_inside)(MAPS - 0.2, BOXES)
  for m, box, hit, share in zip(np.array(MAPS), BOXES, hits, mass, strict=True):
    i, j = np.unravel_index(m.argmax(), m.shape)
    top, left, bottom, right = box
    assert hit == (top <= i < bottom and left <= j < right)
    positive = (m - 0.2).clip(0)
    expected = positive[top:bottom, left:right].sum() / positive.sum()
    np.testing.assert_allclose(share, expected, rtol=1e-5)
  whole = evaluation.pointing_game(MAPS, BOXES, tolerance=20)
  np.testing.assert_allclose(whole, 1.0)


@pytest.mark.parametrize("threshold", [0.15, 0.6])
def test_localization_iou_matches_scipy(threshold):
  f = jax.jit(
    lambda m, b: evaluation.localization_iou(m, b, threshold=threshold)
  )
  for m, box, got in zip(np.array(MAPS), BOXES, f(MAPS, BOXES), strict=True):
    regions, n = ndimage.label(m >= threshold * m.max(), np.ones((3, 3)))
    sizes = ndimage.sum_labels(regions > 0, regions, np.arange(n + 1))
    # Among the largest ours takes the first in reading order; so does argmax
    # unless ids grow otherwise, which equal sizes would show.
    best = [k for k in range(1, n + 1) if sizes[k] == sizes[1:].max()]
    ious = []
    for k in best:
      ys, xs = np.nonzero(regions == k)
      a = np.zeros(m.shape, bool)
      a[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
      b = np.zeros(m.shape, bool)
      b[box[0] : box[2], box[1] : box[3]] = True
      ious.append((a & b).sum() / (a | b).sum())
    assert min(abs(got - iou) for iou in ious) < 1e-5


def test_maps_without_a_positive_value():
  zero = jnp.zeros_like(MAPS)
  np.testing.assert_allclose(evaluation.localization_iou(zero, BOXES), 0.0)
  assert np.isnan(evaluation.mass_inside(zero, BOXES)).all()
  assert np.isnan(evaluation.class_sensitivity(zero, MAPS)).all()


def test_correlations_match_numpy():
  other = MAPS[::-1]
  got = evaluation.class_sensitivity(MAPS, other)
  expected = [
    np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]
    for a, b in zip(MAPS, other, strict=True)
  ]
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
    evaluation.randomization_sensitivity(MAPS, 3 * MAPS + 1), 1.0, rtol=1e-5
  )


def test_areas_are_symmetric_for_a_linear_score():
  images = jnp.ones((5, 12, 10, 1))
  score = lambda x: (x[..., 0] * MAPS).sum(axis=(1, 2)) / MAPS.sum((1, 2))
  options = dict(num_steps=12)
  gone = evaluation.deletion_area(MAPS, images, score, **options)
  come = evaluation.insertion_area(MAPS, images, score, **options)
  assert (come > 0.6).all() and (gone < 0.4).all()
  np.testing.assert_allclose(come + gone, 1.0, rtol=1e-5)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda e: e.pointing_game(MAPS, BOXES[:3]), "maps and boxes must"),
    (lambda e: e.localization_iou(MAPS, BOXES, threshold=0.0), "threshold"),
    (
      lambda e: e.deletion_area(MAPS, MAPS[..., None], None, num_steps=0),
      "num_steps must",
    ),
  ],
)
def test_wrong_arguments_are_named(call, message):
  with pytest.raises(ValueError, match=message):
    call(evaluation)


SECTION = dict(
  methods=(
    dict(name="grad_cam", layer="stage1"),
    "random_saliency",
    dict(name="meta_saliency", method=dict(name="grad_cam", layer="stage1")),
  ),
  metrics=(
    "pointing_game",
    dict(name="mass_inside", boxes="mark_box"),
    "class_sensitivity",
    "deletion_area",
  ),
)


def test_explainer_measures_what_the_batch_allows():
  net = models.convnet(
    num_classes=3, input_shape=(8, 8, 1), widths=(4,), hidden=None
  )
  weights = net.init(jax.random.key(0))
  batch = {
    "image": jax.random.normal(jax.random.key(1), (4, 8, 8, 1)),
    "label": jnp.array([0, 1, 2, -1]),
    "mark_box": jnp.tile(jnp.array([0, 0, 4, 4]), (4, 1)),
  }
  f = jax.jit(evaluation.make_explainer(net, SECTION))
  found = f(*weights, batch)
  methods = ("grad_cam(stage1)", "meta_saliency(grad_cam(stage1))")
  assert {f"mass_inside(mark_box)/{m}" for m in methods} <= found.keys()
  assert not any(key.startswith("pointing_game") for key in found)
  assert len(found) == 9 and all(v.shape == (4,) for v in found.values())
  maps = explain.upsample(
    explain.grad_cam(
      net, *weights, batch["image"][:1], jnp.array([0]), layer="stage1"
    ),
    (8, 8),
  )
  np.testing.assert_allclose(
    found["mass_inside(mark_box)/grad_cam(stage1)"][0],
    evaluation.mass_inside(maps, batch["mark_box"][:1])[0],
    rtol=1e-4,
  )


def test_a_run_records_its_explanations(tiny, tmp_path):
  section = {**SECTION, "num_examples": 8}
  config = tiny(
    total_steps=3, evaluation__explanations=section,
    evaluation__batch_size=8, scenario__val_fraction=0.0,
  )  # fmt: skip
  record = engine.train(config, str(tmp_path / "run"))
  name = "test/class_sensitivity/meta_saliency(grad_cam(stage1))"
  assert -1 <= record[name] <= 1
  assert 0 <= record["test/deletion_area/random_saliency"] <= 1


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (dict(method=()), "explanations.method must be one of its fields"),
    (dict(methods=("gradcam",)), "Did you mean 'grad_cam'"),
    (dict(methods=(dict(name="grad_cam", layers=1),)), "layer"),
    (dict(methods=(dict(name="cam", layer="stage9"),)), "got 'stage9'"),
    (dict(metrics=("pointing",)), "'pointing_game'"),
    (dict(metrics=("accuracy",)), "metric of maps"),
  ],
)
def test_bad_sections_fail_before_training(tiny, tmp_path, change, message):
  config = tiny(evaluation__explanations={**SECTION, **change})
  with pytest.raises(ValueError, match=message):
    engine.train(config, str(tmp_path / "run"))


DOCUMENTED = [
  *(getattr(explain, n) for n in (
    "normalize_map", "upsample", "combine_maps", "class_logit",
    "spatial_contributions",
  )),
  *(getattr(evaluation, n) for n in (
    "pointing_game", "mass_inside", "localization_iou", "class_sensitivity",
    "randomization_sensitivity", "deletion_area", "insertion_area",
    "explanation_key",
  )),
]  # fmt: skip
