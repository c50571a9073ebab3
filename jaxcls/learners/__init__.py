"""How one batch or one stage changes the parameters."""

from jaxcls.learners._state import Aux as Aux
from jaxcls.learners._state import State as State
from jaxcls.learners._state import ema as ema
from jaxcls.learners._state import gradient_update as gradient_update
from jaxcls.learners._supervised import Supervised as Supervised
