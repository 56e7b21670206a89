"""A model's architecture, from its HuggingFace ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from blis.config.context_length import read_context_length
from blis.config.quantization import BYTES_16BIT, Quantization, read_quantization
from blis.errors import CombinationError
from blis.files.decode import Section, read_json
from blis.files.existing import is_file
from blis.files.resources import data_path

_GATED_ACTIVATIONS = ("silu", "swiglu", "geglu")
_LAYER_TYPES_WITH_FULL_CACHE = ("full_attention", "chunked_attention")


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (MLA): the cache holds one short vector per token, from which heads are computed.

    The formulas are those of DeepSeek-V2 (arXiv:2405.04434, section 2.1); docs/roofline.md explains them.

    Attributes:
        kv_lora_rank: rkv, size of the vector that keys and values are computed from.
        q_lora_rank: rq, the same for queries; None if they are projected directly.
        qk_nope_head_dim: dn, part of a query and key without rotary embedding.
        qk_rope_head_dim: dr, part with it; all heads share this part of the key.
        v_head_dim: dv, size of a value.
    """

    kv_lora_rank: int
    q_lora_rank: int | None
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int

    @property
    def query_head_dim(self) -> int:
        """Elements of one head's query."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def kv_elements(self) -> int:
        """Elements that one layer caches per token, on every GPU."""
        return self.kv_lora_rank + self.qk_rope_head_dim

    def parameters_per_layer(self, hidden_size: int, num_heads: int) -> int:
        """Weights of one layer's projections."""
        queries = num_heads * self.query_head_dim
        rank = self.q_lora_rank
        query = hidden_size * queries if rank is None else rank * (hidden_size + queries)
        keys_and_values = self.kv_lora_rank * num_heads * (self.qk_nope_head_dim + self.v_head_dim)
        return query + hidden_size * self.kv_elements + keys_and_values + num_heads * self.v_head_dim * hidden_size


@dataclass(frozen=True)
class ModelArchitecture:
    """The figures of a decoder-only transformer with gated MLPs that time and memory depend on.

    Every MLP has three matrices. Sizes are elements, counts are counts, windows are tokens.

    Attributes:
        num_layers: L, transformer layers.
        hidden_size: d.
        vocab_size: V.
        num_attention_heads: H, query heads.
        num_kv_heads: g, key-value heads.
        head_dim: dh, per head; means nothing with latent attention.
        intermediate_size: F, width of a dense MLP.
        num_experts: N, routed experts per MoE layer; 0 for dense models.
        experts_per_token: k.
        expert_intermediate_size: Fm, width of one routed expert.
        shared_intermediate_size: Fs, total width of the shared experts of an MoE layer; 0 if none.
        num_moe_layers: nm, layers with routed experts.
        sliding_window_tokens: w; 0 if no layer has one.
        num_sliding_window_layers: Lw, layers with a sliding window.
        tie_word_embeddings: whether the LM head shares the embeddings' weights.
        has_vision_encoder: whether the checkpoint has an image encoder beside the language model.
        latent_attention: the sizes of multi-head latent attention; None for attention with KV heads.
        context_length: most tokens of a request that the model is made for; None: not said.
        quantization: bytes per weight and arithmetic.
    """

    num_layers: int
    hidden_size: int
    vocab_size: int
    num_attention_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    num_experts: int = 0
    experts_per_token: int = 0
    expert_intermediate_size: int = 0
    shared_intermediate_size: int = 0
    num_moe_layers: int = 0
    sliding_window_tokens: int = 0
    num_sliding_window_layers: int = 0
    tie_word_embeddings: bool = False
    has_vision_encoder: bool = False
    latent_attention: LatentAttention | None = None
    context_length: int | None = None
    quantization: Quantization = field(default_factory=Quantization)

    @property
    def is_moe(self) -> bool:
        """Whether tokens are routed to experts."""
        return self.num_moe_layers > 0

    @property
    def num_dense_layers(self) -> int:
        """nd, layers with a dense MLP."""
        return self.num_layers - self.num_moe_layers

    @property
    def attention_parameters(self) -> int:
        """Weights of the Q, K, V and output projections of all layers."""
        if self.latent_attention:
            layer = self.latent_attention.parameters_per_layer(self.hidden_size, self.num_attention_heads)
            return self.num_layers * layer
        width = self.num_attention_heads + self.num_kv_heads
        return self.num_layers * 2 * self.hidden_size * width * self.head_dim

    def kv_elements_per_token(self, tp: int) -> float:
        """Elements that one layer caches per token, on each of ``tp`` GPUs: a KV head at least, or the whole latent."""
        if self.latent_attention:
            return self.latent_attention.kv_elements
        return 2 * max(1, self.num_kv_heads / tp) * self.head_dim

    def qkv_elements_per_token(self, tp: int) -> float:
        """Elements of one token's query and of what is cached of it, in one layer, on each of ``tp`` GPUs."""
        if latent := self.latent_attention:
            return self.num_attention_heads * latent.query_head_dim / tp + latent.kv_elements
        return (self.num_attention_heads + 2 * self.num_kv_heads) * self.head_dim / tp

    @property
    def decode_flops_per_pair(self) -> int:
        """FLOPs of one head per query-key pair when decoding; latent attention then works on the cached vector."""
        if latent := self.latent_attention:
            return 2 * (latent.kv_elements + latent.kv_lora_rank)
        return 4 * self.head_dim

    @property
    def prefill_flops_per_pair(self) -> int:
        """FLOPs of one head per query-key pair when prefilling, on keys and values of its own."""
        if latent := self.latent_attention:
            return 2 * (latent.query_head_dim + latent.v_head_dim)
        return 4 * self.head_dim

    @property
    def mlp_parameters(self) -> int:
        """Weights of all dense MLPs and shared experts."""
        dense = self.num_dense_layers * self.intermediate_size
        return 3 * self.hidden_size * (dense + self.num_moe_layers * self.shared_intermediate_size)

    @property
    def router_parameters(self) -> int:
        """Weights of all routers."""
        return self.num_moe_layers * self.hidden_size * self.num_experts

    @property
    def one_expert_parameters(self) -> int:
        """Weights of one routed expert, summed over the MoE layers."""
        return self.num_moe_layers * 3 * self.hidden_size * self.expert_intermediate_size

    @property
    def vocabulary_parameters(self) -> int:
        """Weights of the embeddings; the LM head has as many."""
        return self.vocab_size * self.hidden_size

    @property
    def num_parameters(self) -> int:
        """All weights of the language model, biases aside."""
        return (
            self.attention_parameters
            + self.mlp_parameters
            + self.router_parameters
            + self.num_experts * self.one_expert_parameters
            + self._num_vocabulary_matrices * self.vocabulary_parameters
            + self._norm_parameters
        )

    @property
    def weight_bytes(self) -> float:
        """Memory of all weights of the language model, in bytes."""
        unquantised = (
            self.router_parameters + self._num_vocabulary_matrices * self.vocabulary_parameters + self._norm_parameters
        )
        return (
            self.attention_parameters * self.quantization.attention_bytes
            + self.mlp_parameters * self.quantization.mlp_bytes
            + self.num_experts * self.one_expert_parameters * self.quantization.expert_bytes
            + unquantised * BYTES_16BIT
        )

    @property
    def _num_vocabulary_matrices(self) -> int:
        return 1 if self.tie_word_embeddings else 2

    @property
    def _norm_parameters(self) -> int:
        return (2 * self.num_layers + 1) * self.hidden_size

    def splits_over(self, tp: int) -> bool:
        """Whether vLLM can split the attention heads over ``tp`` GPUs."""
        kv_heads_fit = self.num_kv_heads % tp == 0 or tp % self.num_kv_heads == 0
        return self.num_attention_heads % tp == 0 and kv_heads_fit

    def check_tp(self, tp: int) -> None:
        """Refuse a tensor parallelism degree over which the heads cannot be split.

        Raises:
            CombinationError: naming the degrees up to 8 that are possible.
        """
        if not self.splits_over(tp):
            heads = f"{self.num_attention_heads} attention heads and {self.num_kv_heads} KV heads"
            valid = ", ".join(str(t) for t in (1, 2, 4, 8) if self.splits_over(t))
            raise CombinationError(f"tp: {heads} cannot be split over {tp} GPUs; valid: {valid}")


def shipped_config_folder(model: str) -> Path | None:
    """The shipped folder for a model id: its last component, in lower case."""
    folder = data_path("model_configs") / model.strip().lower().rpartition("/")[2]
    return folder if is_file(folder / "config.json") else None


def load_architecture(folder: Path) -> ModelArchitecture:
    """Read ``config.json`` of a folder.

    Raises:
        ConfigError: if it cannot be read, or describes a model that is not supported.
    """
    top = read_json(folder / "config.json")
    config = top.merged_with("text_config")
    _refuse_unsupported(config)
    num_layers = config.integer("num_hidden_layers", least=1)
    hidden_size = config.integer("hidden_size", least=1)
    num_heads = config.integer("num_attention_heads", least=1)
    moe = _read_moe(config, num_layers)
    window, num_windowed = _read_sliding_window(config, num_layers)
    return ModelArchitecture(
        num_layers=num_layers,
        hidden_size=hidden_size,
        vocab_size=config.integer("vocab_size", least=1),
        num_attention_heads=num_heads,
        num_kv_heads=config.integer("num_key_value_heads", num_heads, least=1),
        head_dim=config.integer("head_dim", hidden_size // num_heads, least=1),
        intermediate_size=_dense_width(config),
        num_experts=moe.num_experts,
        experts_per_token=moe.experts_per_token,
        expert_intermediate_size=moe.expert_width,
        shared_intermediate_size=moe.shared_width,
        num_moe_layers=moe.num_layers,
        sliding_window_tokens=window,
        num_sliding_window_layers=num_windowed,
        tie_word_embeddings=config.flag("tie_word_embeddings", config.text("model_type", "").startswith("gemma")),
        has_vision_encoder=top.has("vision_config"),
        latent_attention=_read_latent_attention(config),
        context_length=read_context_length(config),
        quantization=read_quantization(
            config, num_layers=num_layers, num_moe_layers=moe.num_layers, has_shared_experts=moe.shared_width > 0
        ),
    )


def _refuse_unsupported(config: Section) -> None:
    """Refuse architectures the formulas do not hold for."""
    if config.has("index_topk"):
        config.fail("index_topk", "sparse attention (DeepSeek-V3.2) is not supported")
    if config.has("linear_attn_config"):
        config.fail("linear_attn_config", "linear attention is not supported")
    if config.flag("is_encoder_decoder", False):
        config.fail("is_encoder_decoder", "encoder-decoder models are not supported")
    is_gemma = config.text("model_type", "").startswith("gemma")
    gated = (*_GATED_ACTIVATIONS, "gelu_pytorch_tanh") if is_gemma else _GATED_ACTIVATIONS
    key = "hidden_activation" if config.has("hidden_activation") else "hidden_act"
    activation = config.text(key, "silu")
    if activation not in gated:
        config.fail(key, f"only gated MLPs are supported ({', '.join(gated)}), got {activation!r}")
    for key in ("torch_dtype", "dtype"):
        config.text(key, "bfloat16", valid=("bfloat16", "float16", "float32"))  # vLLM serves all of them at 16 bit


def _read_latent_attention(config: Section) -> LatentAttention | None:
    if not config.has("kv_lora_rank"):
        return None
    return LatentAttention(
        kv_lora_rank=config.integer("kv_lora_rank", least=1),
        q_lora_rank=config.integer("q_lora_rank", least=1) if config.has("q_lora_rank") else None,
        qk_nope_head_dim=config.integer("qk_nope_head_dim", least=1),
        qk_rope_head_dim=config.integer("qk_rope_head_dim", least=1),
        v_head_dim=config.integer("v_head_dim", least=1),
    )


@dataclass(frozen=True)
class _Moe:
    num_layers: int = 0
    num_experts: int = 0
    experts_per_token: int = 0
    expert_width: int = 0
    shared_width: int = 0


def _read_moe(config: Section, num_layers: int) -> _Moe:
    """Routed and shared experts, by the names the families of models give them."""
    keys = [key for key in ("num_local_experts", "num_experts", "n_routed_experts") if config.has(key)]
    if not keys or config.integer(keys[0]) < 2:
        return _Moe()
    num_experts = config.integer(keys[0])
    experts_per_token = config.integer("num_experts_per_tok", least=1)
    if experts_per_token > num_experts:
        config.fail("num_experts_per_tok", f"must be <= {keys[0]} ({num_experts}), got {experts_per_token}")
    width = config.integer("intermediate_size", least=1)
    expert_width = config.integer("moe_intermediate_size", width, least=1)
    return _Moe(
        num_layers=_num_moe_layers(config, num_layers),
        num_experts=num_experts,
        experts_per_token=experts_per_token,
        expert_width=expert_width,
        shared_width=_shared_width(config, width, expert_width),
    )


def _num_moe_layers(config: Section, num_layers: int) -> int:
    step = max(config.integer("interleave_moe_layer_step", 1), config.integer("decoder_sparse_step", 1))
    if step > 1:
        return num_layers // step
    num_dense = config.integer("first_k_dense_replace", 0)
    if num_dense >= num_layers:
        config.fail("first_k_dense_replace", f"must be < num_hidden_layers ({num_layers}), got {num_dense}")
    return num_layers - num_dense


def _shared_width(config: Section, width: int, expert_width: int) -> int:
    if config.has("shared_expert_intermediate_size"):
        return config.integer("shared_expert_intermediate_size")
    if config.has("n_shared_experts"):
        return config.integer("n_shared_experts") * expert_width
    is_llama_4 = config.has("intermediate_size_mlp")
    return width if is_llama_4 else 0


def _dense_width(config: Section) -> int:
    return config.integer(
        "intermediate_size_mlp" if config.has("intermediate_size_mlp") else "intermediate_size", least=1
    )


def _read_sliding_window(config: Section, num_layers: int) -> tuple[int, int]:
    """The window in tokens and the number of layers that have it.

    Llama 4's chunked attention counts as full attention, since vLLM keeps the whole cache for it.
    """
    types = config.texts("layer_types")
    for i, name in enumerate(types):
        if name not in (*_LAYER_TYPES_WITH_FULL_CACHE, "sliding_attention"):
            config.fail(f"layer_types[{i}]", f"{name!r} is not supported; valid: full_attention, sliding_attention")
    if not config.has("sliding_window") or not config.flag("use_sliding_window", True):
        return 0, 0
    window = config.integer("sliding_window", least=1)
    if types:
        if len(types) != num_layers:
            config.fail("layer_types", f"must name {num_layers} layers, got {len(types)}")
        count = types.count("sliding_attention")
    elif config.has("sliding_window_pattern"):
        period = config.integer("sliding_window_pattern", least=1)  # every period-th layer has full attention
        count = num_layers - num_layers // period
    elif config.has("max_window_layers"):
        count = max(0, num_layers - config.integer("max_window_layers"))  # Qwen2: the first ones have full attention
    else:
        count = num_layers
    return (window, count) if count else (0, 0)
