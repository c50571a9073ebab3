"""What a learner gets to see, when, and with which labels."""

from jaxcls.scenarios._bags import Bags as Bags
from jaxcls.scenarios._class_incremental import (
  ClassIncremental as ClassIncremental,
)
from jaxcls.scenarios._compositional import (
  CompositionalZeroShot as CompositionalZeroShot,
)
from jaxcls.scenarios._discovery import Discovery as Discovery
from jaxcls.scenarios._domain_shift import DomainShift as DomainShift
from jaxcls.scenarios._federated import Federated as Federated
from jaxcls.scenarios._semi_supervised import SemiSupervised as SemiSupervised
from jaxcls.scenarios._stage import Stage as Stage
from jaxcls.scenarios._standard import Standard as Standard
from jaxcls.scenarios._test_time import TestTime as TestTime
