"""What an instance takes of a GPU beside weights and KV caches, as vLLM finds out when it starts.

It runs one batch of T = ``max_num_batched_tokens`` tokens, then samples for S = ``max_num_seqs`` sequences at once. The
larger peak of the two counts. Whatever stays reserved after that is added: what experts work in, features of an
encoder, CUDA graphs, and memory that PyTorch knows nothing of. docs/memory.md says from which start-up logs the
constants are, and how far off they are.
"""

from __future__ import annotations

import math

from blis.config.hardware import Gpu
from blis.config.model.model import Model
from blis.config.quantization import BYTES_16BIT
from blis.memory.releases import Release
from blis.memory.weights import deep_features, is_8bit

GIB = 2**30
ACTIVATION_BYTES = 2
#: Streams of hidden size, and inner ones of the widest MLP, that are alive at once.
_STREAMS = 3
#: Copies of all hidden states while sampling.
_STREAMS_SAMPLING = 2
#: Buffers of all tokens that each expert gets: in and out.
_EXPERT_BUFFERS = 2
#: Experts of 8 bit need as many again, but on GPUs whose kernels gather tokens themselves.
_FP8_EXPERT_BUFFERS, _GATHERING = 4, ("B200", "B300", "GB200", "GB300")

#: CUDA context and communication, in GiB: of one GPU, and for each doubling of their number.
_NON_TORCH_GIB, _NON_TORCH_GIB_PER_DOUBLING = 0.24, 0.23
#: The same on ROCm: of one GPU, and of each further one.
_ROCM_NON_TORCH_GIB, _ROCM_NON_TORCH_GIB_PER_GPU = 1.35, 0.27
#: CUDA graphs of all usual sizes.
_GRAPHS_GIB = 0.48
#: Most tokens that an encoder makes of one image or film: of Qwen's models, and of others.
_ITEM_TOKENS, _OTHERS_ITEM_TOKENS = 16_384, 4_096


def is_rocm(gpu: Gpu) -> bool:
    """Whether it is one of AMD's."""
    return gpu.name.upper().startswith("MI")


def activation_bytes(model: Model, release: Release, tp: int, tokens: int, sequences: int) -> float:
    """Peak of one batch on one GPU: in the widest MLP, or in the sampler."""
    hidden = model.hidden_size
    widths = [mlp.width for mlp in model.dense_mlps]
    widths += [each.shared_width + each.experts_per_token * each.expert_width for each in model.moe_layers]
    in_mlp = ACTIVATION_BYTES * tokens * _STREAMS * (hidden + max(widths, default=0) / tp)
    logits = release.sampler_bytes_per_logit * sequences * model.vocab_size
    return max(in_mlp, ACTIVATION_BYTES * tokens * _STREAMS_SAMPLING * hidden + logits)


def expert_workspace_bytes(model: Model, gpu: Gpu, release: Release, tp: int, tokens: int) -> float:
    """What stays reserved for experts: each token's hidden state, or inner state, once for each of its experts."""
    experts = model.moe_layers
    if not experts or not release.keeps_workspace(model.quantization.expert_bytes):
        return 0.0
    is_fp8 = is_8bit(model.quantization.expert_bytes) and not gpu.name.startswith(_GATHERING)
    buffers = _FP8_EXPERT_BUFFERS if is_fp8 else _EXPERT_BUFFERS
    width = max(
        each.experts_per_token
        * max(each.latent_size or model.hidden_size, (each.num_matrices - 1) * each.expert_width / tp)
        for each in experts
    )
    return buffers * tokens * width * ACTIVATION_BYTES


def encoder_bytes(model: Model) -> float:
    """Features of the largest image or film, which vLLM keeps while it measures."""
    if not model.encoder_parameters:
        return 0.0
    tokens = _ITEM_TOKENS if model.family.startswith("qwen") else _OTHERS_ITEM_TOKENS
    return tokens * model.hidden_size * (1 + deep_features(model)) * BYTES_16BIT


def graph_bytes(release: Release, *, enforce_eager: bool) -> float:
    """What CUDA graphs take of the memory that utilisation allows; 0 where they are left to the rest."""
    return 0.0 if enforce_eager or not release.counts_graphs else _GRAPHS_GIB * GIB


def non_torch_bytes(gpu: Gpu, tp: int) -> float:
    """Context of the process and buffers of communication."""
    if is_rocm(gpu):
        return (_ROCM_NON_TORCH_GIB + _ROCM_NON_TORCH_GIB_PER_GPU * (tp - 1)) * GIB
    return (_NON_TORCH_GIB + _NON_TORCH_GIB_PER_DOUBLING * math.log2(tp)) * GIB
