"""Flax modules behind one interface: named outputs, flat parameters."""

from jaxcls.models._convnet import convnet as convnet
from jaxcls.models._heads import add_heads as add_heads
from jaxcls.models._layers import constrain_batch as constrain_batch
from jaxcls.models._mlp import mlp as mlp
from jaxcls.models._net import Net as Net
from jaxcls.models._net import identity as identity
from jaxcls.models._resnet import resnet as resnet
from jaxcls.models._surgery import add_lora as add_lora
from jaxcls.models._surgery import grow_head as grow_head
from jaxcls.models._surgery import mask_logits as mask_logits
from jaxcls.models._surgery import merge_lora as merge_lora
from jaxcls.models._surgery import select as select
from jaxcls.models._vit import vit as vit
