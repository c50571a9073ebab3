"""Optax transformations, schedules and gradient estimators."""

from jaxcls.optim._make import make_optimizer as make_optimizer
from jaxcls.optim._schedules import constant as constant
from jaxcls.optim._schedules import cosine as cosine
from jaxcls.optim._schedules import linear as linear
from jaxcls.optim._schedules import step_decay as step_decay
