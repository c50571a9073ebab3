"""Metrics, probes and reports."""

from jaxcls.evaluation._bags import bag_roc_auc as bag_roc_auc
from jaxcls.evaluation._calibration import brier_score as brier_score
from jaxcls.evaluation._calibration import (
  expected_calibration_error as expected_calibration_error,
)
from jaxcls.evaluation._calibration import (
  negative_log_likelihood as negative_log_likelihood,
)
from jaxcls.evaluation._clustering import (
  clustering_accuracy as clustering_accuracy,
)
from jaxcls.evaluation._clustering import (
  new_clustering_accuracy as new_clustering_accuracy,
)
from jaxcls.evaluation._clustering import (
  old_clustering_accuracy as old_clustering_accuracy,
)
from jaxcls.evaluation._compositional import (
  best_harmonic_mean as best_harmonic_mean,
)
from jaxcls.evaluation._compositional import (
  best_seen_accuracy as best_seen_accuracy,
)
from jaxcls.evaluation._compositional import (
  best_unseen_accuracy as best_unseen_accuracy,
)
from jaxcls.evaluation._compositional import (
  seen_pair_accuracy as seen_pair_accuracy,
)
from jaxcls.evaluation._compositional import (
  seen_unseen_auc as seen_unseen_auc,
)
from jaxcls.evaluation._compositional import (
  seen_unseen_curve as seen_unseen_curve,
)
from jaxcls.evaluation._compositional import (
  twin_accuracy as twin_accuracy,
)
from jaxcls.evaluation._compositional import (
  unseen_pair_accuracy as unseen_pair_accuracy,
)
from jaxcls.evaluation._evaluate import check_metrics as check_metrics
from jaxcls.evaluation._evaluate import (
  evaluate_predictions as evaluate_predictions,
)
from jaxcls.evaluation._explanations import explanation_key as explanation_key
from jaxcls.evaluation._explanations import make_explainer as make_explainer
from jaxcls.evaluation._filters import effective_rank as effective_rank
from jaxcls.evaluation._filters import filter_redundancy as filter_redundancy
from jaxcls.evaluation._incremental import (
  base_as_novel_rate as base_as_novel_rate,
)
from jaxcls.evaluation._incremental import (
  base_class_accuracy as base_class_accuracy,
)
from jaxcls.evaluation._incremental import (
  novel_as_base_rate as novel_as_base_rate,
)
from jaxcls.evaluation._incremental import (
  novel_class_accuracy as novel_class_accuracy,
)
from jaxcls.evaluation._incremental import (
  summarize_stages as summarize_stages,
)
from jaxcls.evaluation._incremental import (
  task_accuracy as task_accuracy,
)
from jaxcls.evaluation._incremental import (
  task_aware_accuracy as task_aware_accuracy,
)
from jaxcls.evaluation._localization import (
  class_sensitivity as class_sensitivity,
)
from jaxcls.evaluation._localization import deletion_area as deletion_area
from jaxcls.evaluation._localization import insertion_area as insertion_area
from jaxcls.evaluation._localization import localization_iou as localization_iou
from jaxcls.evaluation._localization import mass_inside as mass_inside
from jaxcls.evaluation._localization import pointing_game as pointing_game
from jaxcls.evaluation._localization import (
  randomization_sensitivity as randomization_sensitivity,
)
from jaxcls.evaluation._long_tailed import (
  few_shot_accuracy as few_shot_accuracy,
)
from jaxcls.evaluation._long_tailed import (
  many_shot_accuracy as many_shot_accuracy,
)
from jaxcls.evaluation._long_tailed import (
  medium_shot_accuracy as medium_shot_accuracy,
)
from jaxcls.evaluation._metrics import EVALUATOR_VERSION as EVALUATOR_VERSION
from jaxcls.evaluation._metrics import accuracy as accuracy
from jaxcls.evaluation._metrics import balanced_accuracy as balanced_accuracy
from jaxcls.evaluation._metrics import confusion_matrix as confusion_matrix
from jaxcls.evaluation._metrics import macro_f1 as macro_f1
from jaxcls.evaluation._metrics import per_class_accuracy as per_class_accuracy
from jaxcls.evaluation._metrics import top_k_accuracy as top_k_accuracy
from jaxcls.evaluation._probes import class_count_probe as class_count_probe
from jaxcls.evaluation._probes import knn_probe as knn_probe
from jaxcls.evaluation._probes import linear_probe as linear_probe
from jaxcls.evaluation._probes import naive_bayes_probe as naive_bayes_probe
from jaxcls.evaluation._ranking import roc_auc as roc_auc
from jaxcls.evaluation._scatter import scatter_probe as scatter_probe
from jaxcls.evaluation._spectrum import (
  frequency_concentration as frequency_concentration,
)
from jaxcls.evaluation._tangent_kernel import kernel_velocity as kernel_velocity
from jaxcls.evaluation._tangent_kernel import tangent_kernel as tangent_kernel
from jaxcls.evaluation._tracing import tracing_accuracy as tracing_accuracy
from jaxcls.evaluation._tracing import tracing_scores as tracing_scores
from jaxcls.evaluation._tracing import transfer_rates as transfer_rates
