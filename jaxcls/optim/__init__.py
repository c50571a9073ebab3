"""Optax transformations, schedules and gradient estimators."""

from jaxcls.optim._federated import FederatedState as FederatedState
from jaxcls.optim._federated import federated_round as federated_round
from jaxcls.optim._federated import init_federated as init_federated
from jaxcls.optim._make import make_optimizer as make_optimizer
from jaxcls.optim._noise import add_gradient_noise as add_gradient_noise
from jaxcls.optim._schedules import constant as constant
from jaxcls.optim._schedules import cosine as cosine
from jaxcls.optim._schedules import linear as linear
from jaxcls.optim._schedules import step_decay as step_decay
from jaxcls.optim._tract import tract_conv as tract_conv
from jaxcls.optim._tract import tract_dot_general as tract_dot_general
from jaxcls.optim._tract import tract_gradient as tract_gradient
