"""Pure objectives: arrays in, per-example arrays out."""

from jaxcls.losses._alignment import (
  class_aware_alignment_loss as class_aware_alignment_loss,
)
from jaxcls.losses._bags import POOLINGS as POOLINGS
from jaxcls.losses._bags import bag_scores as bag_scores
from jaxcls.losses._bags import first_in_batch as first_in_batch
from jaxcls.losses._bags import (
  partial_label_contrastive_loss as partial_label_contrastive_loss,
)
from jaxcls.losses._classification import (
  cross_entropy_loss as cross_entropy_loss,
)
from jaxcls.losses._classification import focal_loss as focal_loss
from jaxcls.losses._classification import (
  generalized_cross_entropy_loss as generalized_cross_entropy_loss,
)
from jaxcls.losses._classification import (
  logit_adjusted_loss as logit_adjusted_loss,
)
from jaxcls.losses._classification import poly_loss as poly_loss
from jaxcls.losses._classification import (
  squared_error_loss as squared_error_loss,
)
from jaxcls.losses._classification import (
  symmetric_cross_entropy_loss as symmetric_cross_entropy_loss,
)
from jaxcls.losses._condensation import (
  gradient_matching_loss as gradient_matching_loss,
)
from jaxcls.losses._contrastive import (
  subclass_contrastive_loss as subclass_contrastive_loss,
)
from jaxcls.losses._discovery import (
  adaptive_pseudo_labels as adaptive_pseudo_labels,
)
from jaxcls.losses._discovery import mean_entropy_loss as mean_entropy_loss
from jaxcls.losses._discovery import (
  prototype_separation_loss as prototype_separation_loss,
)
from jaxcls.losses._distillation import (
  correlation_distillation_loss as correlation_distillation_loss,
)
from jaxcls.losses._distillation import (
  decoupled_distillation_loss as decoupled_distillation_loss,
)
from jaxcls.losses._distillation import (
  norm_direction_loss as norm_direction_loss,
)
from jaxcls.losses._feature_learning import feature_energy as feature_energy
from jaxcls.losses._feature_learning import ridge_signal as ridge_signal
from jaxcls.losses._focal_contrastive import (
  focal_supcon_loss as focal_supcon_loss,
)
from jaxcls.losses._incremental import (
  logit_normalized_loss as logit_normalized_loss,
)
from jaxcls.losses._information import (
  jensen_shannon_divergence as jensen_shannon_divergence,
)
from jaxcls.losses._information import mutual_information as mutual_information
from jaxcls.losses._information import relative_entropy as relative_entropy
from jaxcls.losses._information import (
  soft_kl_divergence_loss as soft_kl_divergence_loss,
)
from jaxcls.losses._label_augmentation import (
  aggregate_joint_logits as aggregate_joint_logits,
)
from jaxcls.losses._label_augmentation import (
  joint_label_loss as joint_label_loss,
)
from jaxcls.losses._local import forward_forward_loss as forward_forward_loss
from jaxcls.losses._local import label_denoising_loss as label_denoising_loss
from jaxcls.losses._local import standard_normal_kl as standard_normal_kl
from jaxcls.losses._long_tailed import (
  class_balanced_weights as class_balanced_weights,
)
from jaxcls.losses._long_tailed import ldam_loss as ldam_loss
from jaxcls.losses._margin import arcface_loss as arcface_loss
from jaxcls.losses._margin import cosface_loss as cosface_loss
from jaxcls.losses._margin import (
  large_margin_softmax_loss as large_margin_softmax_loss,
)
from jaxcls.losses._margin import multi_margin_loss as multi_margin_loss
from jaxcls.losses._margin import multiclass_hinge_loss as multiclass_hinge_loss
from jaxcls.losses._margin import (
  normalized_softmax_loss as normalized_softmax_loss,
)
from jaxcls.losses._margin import sparsemax_loss as sparsemax_loss
from jaxcls.losses._metric_learning import pair_loss as pair_loss
from jaxcls.losses._metric_learning import triplet_loss as triplet_loss
from jaxcls.losses._mixing import (
  decoupled_mixup_bce_loss as decoupled_mixup_bce_loss,
)
from jaxcls.losses._mixing import decoupled_mixup_loss as decoupled_mixup_loss
from jaxcls.losses._mixing import region_label_loss as region_label_loss
from jaxcls.losses._multi_label import asymmetric_loss as asymmetric_loss
from jaxcls.losses._multi_label import sigmoid_focal_loss as sigmoid_focal_loss
from jaxcls.losses._noise_sensitivity import (
  noise_sensitive_loss as noise_sensitive_loss,
)
from jaxcls.losses._ordinal import coral_loss as coral_loss
from jaxcls.losses._ordinal import corn_loss as corn_loss
from jaxcls.losses._ordinal import cumulative_link_loss as cumulative_link_loss
from jaxcls.losses._pruning import top_mass_targets as top_mass_targets
from jaxcls.losses._reduce import mean_where as mean_where
from jaxcls.losses._robust import bi_tempered_loss as bi_tempered_loss
from jaxcls.losses._robust import soft_bi_tempered_loss as soft_bi_tempered_loss
from jaxcls.losses._scale import log_partition_loss as log_partition_loss
from jaxcls.losses._scale import (
  temperature_scaled_loss as temperature_scaled_loss,
)
from jaxcls.losses._semi_supervised import (
  align_distribution as align_distribution,
)
from jaxcls.losses._semi_supervised import one_vs_all_loss as one_vs_all_loss
from jaxcls.losses._semi_supervised import open_set_targets as open_set_targets
from jaxcls.losses._separation import (
  misfit_normalized_loss as misfit_normalized_loss,
)
from jaxcls.losses._soft_targets import (
  binary_cross_entropy_loss as binary_cross_entropy_loss,
)
from jaxcls.losses._soft_targets import entropy as entropy
from jaxcls.losses._soft_targets import (
  kl_divergence_loss as kl_divergence_loss,
)
from jaxcls.losses._soft_targets import (
  soft_cross_entropy_loss as soft_cross_entropy_loss,
)
from jaxcls.losses._sorting import groco_loss as groco_loss
from jaxcls.losses._spherical import (
  spherical_log_softmax as spherical_log_softmax,
)
from jaxcls.losses._spherical import (
  spherical_softmax_loss as spherical_softmax_loss,
)
from jaxcls.losses._spherical import taylor_log_softmax as taylor_log_softmax
from jaxcls.losses._spherical import taylor_softmax_loss as taylor_softmax_loss
from jaxcls.losses._spherical import z_loss as z_loss
