"""Flax modules behind one interface: named outputs, flat parameters."""

from jaxcls.models._convnet import convnet as convnet
from jaxcls.models._denoiser import denoiser as denoiser
from jaxcls.models._embedding_mlp import embedding_mlp as embedding_mlp
from jaxcls.models._embedding_mlp import hash_ids as hash_ids
from jaxcls.models._filter_gates import add_filter_gates as add_filter_gates
from jaxcls.models._filters import dct_filters as dct_filters
from jaxcls.models._filters import gabor_filters as gabor_filters
from jaxcls.models._filters import image_patches as image_patches
from jaxcls.models._filters import kmeans_filters as kmeans_filters
from jaxcls.models._filters import oja_filters as oja_filters
from jaxcls.models._filters import orthogonal_filters as orthogonal_filters
from jaxcls.models._filters import pca_filters as pca_filters
from jaxcls.models._filters import random_filters as random_filters
from jaxcls.models._gates import comet_gate as comet_gate
from jaxcls.models._gates import gumbel_sinkhorn as gumbel_sinkhorn
from jaxcls.models._gates import hard_permutation as hard_permutation
from jaxcls.models._gates import hash_gate as hash_gate
from jaxcls.models._gates import log_paths as log_paths
from jaxcls.models._gates import smooth_step as smooth_step
from jaxcls.models._gates import top_k_gate as top_k_gate
from jaxcls.models._gates import tree_paths as tree_paths
from jaxcls.models._heads import add_heads as add_heads
from jaxcls.models._label_denoiser import label_denoiser as label_denoiser
from jaxcls.models._layers import constrain_batch as constrain_batch
from jaxcls.models._mixture_of_experts import (
  mixture_of_experts as mixture_of_experts,
)
from jaxcls.models._mlp import mlp as mlp
from jaxcls.models._net import Net as Net
from jaxcls.models._net import identity as identity
from jaxcls.models._resnet import resnet as resnet
from jaxcls.models._surgery import add_lora as add_lora
from jaxcls.models._surgery import grow_head as grow_head
from jaxcls.models._surgery import mask_logits as mask_logits
from jaxcls.models._surgery import merge_lora as merge_lora
from jaxcls.models._surgery import select as select
from jaxcls.models._text import blank_words as blank_words
from jaxcls.models._text import init_soft_prompt as init_soft_prompt
from jaxcls.models._text import prompt_ids as prompt_ids
from jaxcls.models._tracers import tracer_copies as tracer_copies
from jaxcls.models._two_tower import two_tower as two_tower
from jaxcls.models._vit import vit as vit
