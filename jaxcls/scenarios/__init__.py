"""What a learner gets to see, when, and with which labels."""

from jaxcls.scenarios._class_incremental import (
  ClassIncremental as ClassIncremental,
)
from jaxcls.scenarios._federated import Federated as Federated
from jaxcls.scenarios._semi_supervised import SemiSupervised as SemiSupervised
from jaxcls.scenarios._stage import Stage as Stage
from jaxcls.scenarios._standard import Standard as Standard
from jaxcls.scenarios._test_time import TestTime as TestTime
