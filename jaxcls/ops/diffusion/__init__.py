"""Noise schedules of diffusion models and rectified flow."""

from jaxcls.ops.diffusion._schedules import SCHEDULES as SCHEDULES
from jaxcls.ops.diffusion._schedules import (
  cosine_alpha_bar as cosine_alpha_bar,
)
from jaxcls.ops.diffusion._schedules import (
  linear_alpha_bar as linear_alpha_bar,
)
from jaxcls.ops.diffusion._schedules import noise_levels as noise_levels
from jaxcls.ops.diffusion._schedules import noise_target as noise_target
from jaxcls.ops.diffusion._steps import (
  denoising_coefficients as denoising_coefficients,
)
from jaxcls.ops.diffusion._steps import (
  noise_embeddings as noise_embeddings,
)
from jaxcls.ops.diffusion._steps import (
  reversed_cosine_alpha_bar as reversed_cosine_alpha_bar,
)
from jaxcls.ops.diffusion._steps import (
  signal_to_noise as signal_to_noise,
)
