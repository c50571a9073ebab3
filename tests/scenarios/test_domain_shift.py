import numpy as np
import pytest

from jaxcls import scenarios


def test_domains_are_evaluated_beside_the_first():
  scenario = scenarios.DomainShift(
    source="shapes",
    options=dict(image_size=8, num_train=96, num_test=48),
    domains=dict(shifted=dict(rendering="shifted")),
    val_domain=dict(rendering="shifted"),
    val_per_class=1,
  )
  (stage,) = scenario.stages(0)
  assert set(stage.evals) == {"test", "shifted", "val"}
  np.testing.assert_array_equal(
    stage.evals["test"].labels, stage.evals["shifted"].labels
  )
  assert "shifted" in stage.evals["val"].version
  assert len(stage.evals["val"]) == 48
  assert "plain" in stage.evals["test"].version
  with pytest.raises(ValueError, match="other than 'val' and 'test'"):
    scenarios.DomainShift(source="shapes", domains=dict(test={}))
