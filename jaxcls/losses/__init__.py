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
from jaxcls.losses._incremental import (
  logit_normalized_loss as logit_normalized_loss,
)
from jaxcls.losses._local import forward_forward_loss as forward_forward_loss
from jaxcls.losses._local import label_denoising_loss as label_denoising_loss
from jaxcls.losses._local import standard_normal_kl as standard_normal_kl
from jaxcls.losses._reduce import mean_where as mean_where
from jaxcls.losses._semi_supervised import (
  align_distribution as align_distribution,
)
from jaxcls.losses._semi_supervised import one_vs_all_loss as one_vs_all_loss
from jaxcls.losses._semi_supervised import open_set_targets as open_set_targets
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
  spherical_softmax_loss as spherical_softmax_loss,
)
from jaxcls.losses._spherical import taylor_softmax_loss as taylor_softmax_loss
from jaxcls.losses._spherical import z_loss as z_loss
