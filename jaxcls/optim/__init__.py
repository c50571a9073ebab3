"""Optax transformations, schedules and gradient estimators."""

from jaxcls.optim._federated import FederatedState as FederatedState
from jaxcls.optim._federated import federated_round as federated_round
from jaxcls.optim._federated import init_federated as init_federated
from jaxcls.optim._lbfgs import fit_lbfgs as fit_lbfgs
from jaxcls.optim._lion import lion as lion
from jaxcls.optim._make import make_optimizer as make_optimizer
from jaxcls.optim._muon import muon as muon
from jaxcls.optim._noise import add_gradient_noise as add_gradient_noise
from jaxcls.optim._paths import layer_scales as layer_scales
from jaxcls.optim._paths import path_mask as path_mask
from jaxcls.optim._paths import scale_by_layer as scale_by_layer
from jaxcls.optim._privacy import epsilon_spent as epsilon_spent
from jaxcls.optim._privacy import private_gradient as private_gradient
from jaxcls.optim._privacy import (
  private_value_and_grad as private_value_and_grad,
)
from jaxcls.optim._program import Program as Program
from jaxcls.optim._program import Statement as Statement
from jaxcls.optim._program import format_program as format_program
from jaxcls.optim._program import parse_program as parse_program
from jaxcls.optim._program import program_signature as program_signature
from jaxcls.optim._program import (
  remove_dead_statements as remove_dead_statements,
)
from jaxcls.optim._program import run_program as run_program
from jaxcls.optim._program import scale_by_program as scale_by_program
from jaxcls.optim._schedules import constant as constant
from jaxcls.optim._schedules import cosine as cosine
from jaxcls.optim._schedules import linear as linear
from jaxcls.optim._schedules import step_decay as step_decay
from jaxcls.optim._search import Candidate as Candidate
from jaxcls.optim._search import mutate_program as mutate_program
from jaxcls.optim._search import regularized_evolution as regularized_evolution
from jaxcls.optim._search import select_by_funnel as select_by_funnel
from jaxcls.optim._search import simplify_program as simplify_program
from jaxcls.optim._separation import (
  descend_until_separated as descend_until_separated,
)
from jaxcls.optim._separation import hard_margin as hard_margin
from jaxcls.optim._separation import logistic_gradient as logistic_gradient
from jaxcls.optim._separation import make_slow_separable as make_slow_separable
from jaxcls.optim._separation import perceptron_gradient as perceptron_gradient
from jaxcls.optim._sharpness import sam_gradient as sam_gradient
from jaxcls.optim._sharpness import sam_perturbation as sam_perturbation
from jaxcls.optim._tract import tract_conv as tract_conv
from jaxcls.optim._tract import tract_dot_general as tract_dot_general
from jaxcls.optim._tract import tract_gradient as tract_gradient
