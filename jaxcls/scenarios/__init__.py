"""What a learner gets to see, when, and with which labels."""

from jaxcls.scenarios._stage import Stage as Stage
from jaxcls.scenarios._standard import Standard as Standard
