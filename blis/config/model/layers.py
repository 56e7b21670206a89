"""What layers are made of: mixers, which look at other tokens, and MLPs, which don't.

Sizes are elements, counts are counts, windows are tokens. ``hidden_size`` is d, the width of the residual stream, which
all parts share. Parameters leave out biases and norms, which are less than 0.1 % of any model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: How far back attention looks: at all tokens, at the last ones, or at those of the same chunk.
Reach = Literal["full", "window", "chunk"]
StateKind = Literal["mamba1", "mamba2", "gdn", "kda", "lightning", "conv"]

#: FLOPs per prefilled token and element of the state (docs/roofline.md). Mamba-1 (arXiv:2312.00752): 9, but by units a
#: sixteenth as fast as those of matrix products. Mamba-2 (arXiv:2405.21060, section 6): 4 between chunks; what is done
#: within one comes on top. Gated delta rules (arXiv:2412.06464, arXiv:2510.26692), chunks of 64 and heads of 128: 6
#: and 5. Lightning attention (arXiv:2401.04658), chunks of 256 and heads of 128: 4 and 8.
_SCAN_FLOPS: dict[StateKind, int] = {"mamba1": 144, "mamba2": 4, "gdn": 11, "kda": 11, "lightning": 12, "conv": 0}
_MAMBA2_CHUNK_TOKENS = 256


@dataclass(frozen=True)
class Attention:
    """Softmax attention with KV heads.

    Attributes:
        num_heads: H, query heads.
        num_kv_heads: g, key-value heads.
        head_dim: dh, of a query and a key.
        value_head_dim: dv.
        reach: what it looks back at.
        reach_tokens: size of the window or chunk; 0 if it looks at everything.
        has_gate: whether a gate as wide as the queries multiplies the output (Qwen3-Next).
        values_are_keys: whether one projection gives both (Gemma 4); both are cached all the same.
        keeps_cache: False: it reads the cache of an earlier layer (Gemma 3n).
        query_rank: size of the vector that queries are computed from (Step 3); None if they are projected directly.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    value_head_dim: int
    reach: Reach = "full"
    reach_tokens: int = 0
    has_gate: bool = False
    values_are_keys: bool = False
    keeps_cache: bool = True
    query_rank: int | None = None

    def parameters(self, hidden_size: int) -> int:
        """Weights of the projections."""
        queries = self.num_heads * self.head_dim * (2 if self.has_gate else 1)
        rank = self.query_rank
        query = hidden_size * queries if rank is None else rank * (hidden_size + queries)
        keys = self.num_kv_heads * self.head_dim * self.keeps_cache
        values = 0 if self.values_are_keys else self.num_kv_heads * self.value_head_dim * self.keeps_cache
        return query + hidden_size * (keys + values + self.num_heads * self.value_head_dim)

    def kv_elements(self, tp: int) -> int:
        """Elements cached per token on each of ``tp`` GPUs: of one KV head at least."""
        return self.keeps_cache * max(1, self.num_kv_heads // tp) * (self.head_dim + self.value_head_dim)

    def bytes_read(self, tp: int, element_bytes: int) -> int:
        """What is read of each token looked at, on each of ``tp`` GPUs; an earlier layer may have cached it."""
        return max(1, self.num_kv_heads // tp) * (self.head_dim + self.value_head_dim) * element_bytes

    def activations(self, hidden_size: int, tp: int) -> float:
        """Elements of one token's queries, keys, values and gate on each of ``tp`` GPUs."""
        queries = self.num_heads * self.head_dim * (2 if self.has_gate else 1)
        keys_and_values = self.keeps_cache * self.num_kv_heads * (self.head_dim + self.value_head_dim)
        return (queries + keys_and_values) / tp

    @property
    def decode_flops_per_pair(self) -> int:
        """FLOPs of one head per query-key pair when decoding."""
        return 2 * (self.head_dim + self.value_head_dim)

    @property
    def prefill_flops_per_pair(self) -> int:
        """FLOPs of one head per query-key pair when prefilling."""
        return self.decode_flops_per_pair


@dataclass(frozen=True)
class Indexer:
    """The part of sparse attention (DeepSeek-V3.2) that chooses which tokens are looked at.

    Attributes:
        num_heads: its query heads.
        head_dim: size of one, and of the key that it caches per token, of 8 bit with a scale of 4 bytes.
        most_tokens: how many it chooses.
        is_shared: whether it is an earlier layer's, whose choice holds here, too (GLM-5.2): it weighs, caches and
            computes nothing.
    """

    num_heads: int
    head_dim: int
    most_tokens: int
    is_shared: bool = False

    @property
    def token_bytes(self) -> int:
        """Memory per token, on every GPU, whatever the type of the cache (vLLM 0.33)."""
        return 0 if self.is_shared else self.head_dim + 4


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (MLA): the cache holds one short vector per token, from which heads are computed.

    The formulas are those of DeepSeek-V2 (arXiv:2405.04434, section 2.1); docs/roofline.md explains them.

    Attributes:
        num_heads: H.
        kv_lora_rank: rkv, size of the vector that keys and values are computed from.
        q_lora_rank: rq, the same for queries; None if they are projected directly.
        qk_nope_head_dim: dn, part of a query and key without rotary embedding.
        qk_rope_head_dim: dr, part with it; all heads share this part of the key.
        v_head_dim: dv, size of a value.
        indexer: of sparse attention; None if all tokens are looked at.
    """

    num_heads: int
    kv_lora_rank: int
    q_lora_rank: int | None
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    indexer: Indexer | None = None

    @property
    def query_head_dim(self) -> int:
        """Elements of one head's query."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def kv_width(self) -> int:
        """Elements cached per token, on every GPU."""
        return self.kv_lora_rank + self.qk_rope_head_dim

    @property
    def reach_tokens(self) -> int:
        """Most tokens that a query looks at; 0 if it looks at everything."""
        return 0 if self.indexer is None else self.indexer.most_tokens

    def bytes_read(self, tp: int, element_bytes: int) -> int:
        """What is read of each token looked at, on every GPU.

        The FP8 cache of sparse attention has a scale of 4 bytes per 128 elements and leaves positions at 16 bit.
        """
        if self.indexer is not None and element_bytes == 1:
            return self.kv_lora_rank + self.kv_lora_rank // 128 * 4 + self.qk_rope_head_dim * 2
        return self.kv_width * element_bytes

    def activations(self, hidden_size: int, tp: int) -> float:
        """Elements of one token's query and of what is cached of it, on each of ``tp`` GPUs."""
        return self.num_heads * self.query_head_dim / tp + self.kv_width

    @property
    def decode_flops_per_pair(self) -> int:
        """FLOPs of one head per query-key pair when decoding, which works on the cached vector."""
        return 2 * (self.kv_width + self.kv_lora_rank)

    @property
    def prefill_flops_per_pair(self) -> int:
        """FLOPs of one head per query-key pair when prefilling, on keys and values of its own.

        Sparse attention looks at other tokens with each query and therefore works on the cached vectors.
        """
        return 2 * (self.query_head_dim + self.v_head_dim) if self.indexer is None else self.decode_flops_per_pair

    def parameters(self, hidden_size: int) -> int:
        """Weights of the projections."""
        queries = self.num_heads * self.query_head_dim
        rank = self.q_lora_rank
        query = hidden_size * queries if rank is None else rank * (hidden_size + queries)
        keys_and_values = self.kv_lora_rank * self.num_heads * (self.qk_nope_head_dim + self.v_head_dim)
        output = self.num_heads * self.v_head_dim * hidden_size
        return query + hidden_size * self.kv_width + keys_and_values + output + self._indexer_parameters(hidden_size)

    def _indexer_parameters(self, hidden_size: int) -> int:
        if self.indexer is None or self.indexer.is_shared:
            return 0
        queries = (self.q_lora_rank or hidden_size) * self.indexer.num_heads * self.indexer.head_dim
        return queries + hidden_size * (self.indexer.head_dim + self.indexer.num_heads)


@dataclass(frozen=True)
class StateMixer:
    """A mixer that keeps one state per request, however long that is: state spaces and linear attention.

    Attributes:
        kind: which.
        weights: parameters of its projections and convolutions.
        conv_tokens: tokens that the convolution remembers, one less than its kernel; 0: there is none.
        conv_channels: of the convolution, but for those of groups.
        num_groups: groups that share B and C (Mamba-2); 0: none.
        group_channels: channels of the convolution per group.
        state_elements: of the recurrent state.
        state_bytes_per_element: of the recurrent state, 2 or 4; the convolution's are the model's 2.
    """

    kind: StateKind
    weights: int
    conv_tokens: int
    conv_channels: int
    state_elements: int
    state_bytes_per_element: int = 2
    num_groups: int = 0
    group_channels: int = 0

    def parameters(self, hidden_size: int) -> int:
        """Weights of its projections and convolutions."""
        return self.weights

    def activations(self, hidden_size: int, tp: int) -> float:
        """Elements that its projections give and take per token, on each of ``tp`` GPUs."""
        return self.weights / hidden_size / tp

    @property
    def scan_flops_per_token(self) -> int:
        """FLOPs of the chunked scan per prefilled token, as 16-bit matrix products (docs/roofline.md counts them)."""
        within_chunk = self.num_groups * self.group_channels // 2 + self.conv_channels if self.kind == "mamba2" else 0
        return _SCAN_FLOPS[self.kind] * self.state_elements + 2 * _MAMBA2_CHUNK_TOKENS * within_chunk

    def state_bytes(self, tp: int) -> int:
        """Memory per request on each of ``tp`` GPUs; groups that cannot be split count as one per GPU (vLLM 0.33)."""
        groups = self.num_groups if self.num_groups % tp == 0 else tp
        channels = self.conv_channels + groups * self.group_channels
        conv = 2 * self.conv_tokens * channels // tp
        return conv + self.state_elements // tp * self.state_bytes_per_element


Mixer = Attention | LatentAttention | StateMixer


@dataclass(frozen=True)
class Mlp:
    """A dense MLP.

    Attributes:
        width: F.
        num_matrices: 3 with a gate, 2 without.
    """

    width: int
    num_matrices: int = 3

    def parameters(self, hidden_size: int) -> int:
        """Its weights."""
        return self.num_matrices * hidden_size * self.width


@dataclass(frozen=True)
class Experts:
    """A mixture of experts.

    Attributes:
        num_experts: N, routed ones.
        experts_per_token: k.
        expert_width: Fm, of one.
        shared_width: Fs, total of the experts that all tokens take; 0 if there is none.
        num_matrices: 3 with a gate, 2 without.
        latent_size: width of what experts read and write (Nemotron 3 Super); None: the hidden size.
    """

    num_experts: int
    experts_per_token: int
    expert_width: int
    shared_width: int = 0
    num_matrices: int = 3
    latent_size: int | None = None

    def one_expert_parameters(self, hidden_size: int) -> int:
        """Weights of one routed expert."""
        return self.num_matrices * (self.latent_size or hidden_size) * self.expert_width

    def shared_parameters(self, hidden_size: int) -> int:
        """Weights that all tokens meet: of shared experts, and of the projections around a latent."""
        latent = 0 if self.latent_size is None else 2 * hidden_size * self.latent_size
        return self.num_matrices * hidden_size * self.shared_width + latent

    def router_parameters(self, hidden_size: int) -> int:
        """Weights of the router."""
        return hidden_size * self.num_experts


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        mixers: none, one, or several side by side (Falcon-H1).
        mlp: None if it has none (Nemotron-H).
        other_parameters: weights of what else all tokens meet (Gemma 3n's low-rank paths).
    """

    mixers: tuple[Mixer, ...]
    mlp: Mlp | Experts | None
    other_parameters: int = 0
