"""How one batch or one stage changes the parameters."""

from jaxcls.learners._attention_mixing import AttentionMixing as AttentionMixing
from jaxcls.learners._bags import BagClassifier as BagClassifier
from jaxcls.learners._bags import InstanceClassifier as InstanceClassifier
from jaxcls.learners._class_incremental import (
  AlignedClassifier as AlignedClassifier,
)
from jaxcls.learners._class_incremental import (
  PrototypeClassifier as PrototypeClassifier,
)
from jaxcls.learners._class_incremental import draw_features as draw_features
from jaxcls.learners._class_incremental import shrink_means as shrink_means
from jaxcls.learners._closed_form import ClosedForm as ClosedForm
from jaxcls.learners._condense import Condense as Condense
from jaxcls.learners._condense import matching_loss as matching_loss
from jaxcls.learners._contrastive import Contrastive as Contrastive
from jaxcls.learners._diffusion import Diffusion as Diffusion
from jaxcls.learners._discovery import Discovery as Discovery
from jaxcls.learners._distill import Distill as Distill
from jaxcls.learners._embedding import (
  EmbeddingClassifier as EmbeddingClassifier,
)
from jaxcls.learners._federated import Federated as Federated
from jaxcls.learners._filter_gates import FilterGates as FilterGates
from jaxcls.learners._fine_tune import FineTune as FineTune
from jaxcls.learners._forward_forward import ForwardForward as ForwardForward
from jaxcls.learners._label_augmentation import (
  LabelAugmentation as LabelAugmentation,
)
from jaxcls.learners._noprop import NoProp as NoProp
from jaxcls.learners._semi_supervised import SemiSupervised as SemiSupervised
from jaxcls.learners._subclasses import (
  dynamic_temperatures as dynamic_temperatures,
)
from jaxcls.learners._subclasses import split_classes as split_classes
from jaxcls.learners._supervised import Supervised as Supervised
from jaxcls.learners._test_time import TestTimeAdaptation as TestTimeAdaptation
from jaxcls.learners._tracers import Tracers as Tracers
from jaxcls.learners._training_state import Aux as Aux
from jaxcls.learners._training_state import State as State
from jaxcls.learners._training_state import ema as ema
from jaxcls.learners._training_state import gradient_update as gradient_update
from jaxcls.learners._two_tower import Prompt as Prompt
from jaxcls.learners._two_tower import TwoTower as TwoTower
from jaxcls.learners._two_tower import pair_feasibility as pair_feasibility
from jaxcls.learners._upsampled import Upsampled as Upsampled
from jaxcls.learners._upsampled import slow_examples as slow_examples
