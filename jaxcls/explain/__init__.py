"""Saliency and class-activation functions."""

from jaxcls.explain._class_activation import cam as cam
from jaxcls.explain._class_activation import grad_cam as grad_cam
from jaxcls.explain._compose import combine_layers as combine_layers
from jaxcls.explain._compose import meta_saliency as meta_saliency
from jaxcls.explain._gradients import METHOD_INPUTS as METHOD_INPUTS
from jaxcls.explain._gradients import (
  activation_gradients as activation_gradients,
)
from jaxcls.explain._gradients import class_logit as class_logit
from jaxcls.explain._guided import guided_backprop as guided_backprop
from jaxcls.explain._guided import guided_grad_cam as guided_grad_cam
from jaxcls.explain._maps import combine_maps as combine_maps
from jaxcls.explain._maps import normalize_map as normalize_map
from jaxcls.explain._maps import upsample as upsample
from jaxcls.explain._saliency import AGGREGATIONS as AGGREGATIONS
from jaxcls.explain._saliency import VIRTUAL_LAYERS as VIRTUAL_LAYERS
from jaxcls.explain._saliency import gradient_saliency as gradient_saliency
from jaxcls.explain._saliency import (
  linear_approximation as linear_approximation,
)
from jaxcls.explain._saliency import norm_grad as norm_grad
from jaxcls.explain._saliency import random_saliency as random_saliency
from jaxcls.explain._saliency import (
  spatial_contributions as spatial_contributions,
)
