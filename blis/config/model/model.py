"""A model: its layers, its vocabulary, its precision, and the sums over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from blis.config.model.layers import Attention, Experts, LatentAttention, Layer, Mixer, Mlp, StateMixer
from blis.config.quantization import BYTES_16BIT, Quantization
from blis.config.schema import KvCacheDtype
from blis.errors import CombinationError


@dataclass(frozen=True)
class Model:
    """The figures of a language model that time and memory depend on.

    Attributes:
        family: ``model_type`` of its configuration.
        hidden_size: d.
        vocab_size: V.
        layers: in order.
        tie_word_embeddings: whether the LM head shares the embeddings' weights.
        lookup_parameters: of tables beside the embeddings that tokens are looked up in (Gemma 3n): memory, but no time.
        encoder_parameters: of the encoders of images or sound beside it, which stay at 16 bit.
        context_length: most tokens of a request that the model is made for; None: not said.
        quantization: bytes per weight, and arithmetic.
        kv_cache_type: type of cached keys and values that the checkpoint asks for; None: the model's own.
        doubts: what is not known for sure, a line each, to be told with every result.
    """

    family: str
    hidden_size: int
    vocab_size: int
    layers: tuple[Layer, ...]
    tie_word_embeddings: bool = False
    lookup_parameters: int = 0
    encoder_parameters: int = 0
    context_length: int | None = None
    quantization: Quantization = field(default_factory=Quantization)
    kv_cache_type: str | None = None
    doubts: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Of all layers, once: sweeps ask for the same model again and again."""
        return hash((self.family, self.hidden_size, self.layers))

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.layers)

    @cached_property
    def mixers(self) -> tuple[Mixer, ...]:
        """Of all layers, in order."""
        return tuple(mixer for layer in self.layers for mixer in layer.mixers)

    @cached_property
    def mixer_counts(self) -> dict[Mixer, int]:
        """How many there are of each mixer, in order of their first layers."""
        return dict(Counter(self.mixers))

    @cached_property
    def mlp_counts(self) -> dict[Mlp | Experts, int]:
        """How many there are of each dense MLP and of each mixture of experts."""
        return dict(Counter(layer.mlp for layer in self.layers if layer.mlp is not None))

    @cached_property
    def attention(self) -> tuple[Attention | LatentAttention, ...]:
        """The mixers that look at a cache of tokens."""
        return tuple(mixer for mixer in self.mixers if not isinstance(mixer, StateMixer))

    @cached_property
    def states(self) -> tuple[StateMixer, ...]:
        """The mixers that keep one state per request."""
        return tuple(mixer for mixer in self.mixers if isinstance(mixer, StateMixer))

    @cached_property
    def dense_mlps(self) -> tuple[Mlp, ...]:
        """Of layers without experts."""
        return tuple(layer.mlp for layer in self.layers if isinstance(layer.mlp, Mlp))

    @cached_property
    def moe_layers(self) -> tuple[Experts, ...]:
        """Of layers with experts."""
        return tuple(layer.mlp for layer in self.layers if isinstance(layer.mlp, Experts))

    @property
    def num_half_layers(self) -> int:
        """Mixers and MLPs, of which a usual layer has one each."""
        return len(self.mixers) + len(self.dense_mlps) + len(self.moe_layers)

    @property
    def is_moe(self) -> bool:
        """Whether tokens are routed to experts."""
        return bool(self.moe_layers)

    @cached_property
    def mixer_parameters(self) -> int:
        """Weights of all mixers."""
        return sum(mixer.parameters(self.hidden_size) for mixer in self.mixers)

    @cached_property
    def mlp_parameters(self) -> int:
        """Weights of all dense MLPs and shared experts."""
        dense = sum(mlp.parameters(self.hidden_size) for mlp in self.dense_mlps)
        return dense + sum(experts.shared_parameters(self.hidden_size) for experts in self.moe_layers)

    @cached_property
    def router_parameters(self) -> int:
        """Weights of all routers."""
        return sum(experts.router_parameters(self.hidden_size) for experts in self.moe_layers)

    @cached_property
    def expert_parameters(self) -> int:
        """Weights of all routed experts."""
        return sum(each.num_experts * each.one_expert_parameters(self.hidden_size) for each in self.moe_layers)

    @property
    def vocabulary_parameters(self) -> int:
        """Weights of the embeddings; the LM head has as many."""
        return self.vocab_size * self.hidden_size

    @property
    def num_vocabulary_matrices(self) -> int:
        """1 if the LM head is the embeddings, else 2."""
        return 1 if self.tie_word_embeddings else 2

    @property
    def norm_parameters(self) -> int:
        """Two per layer and the last one."""
        return (2 * self.num_layers + 1) * self.hidden_size

    @property
    def other_parameters(self) -> int:
        """Weights of layers that belong to neither a mixer nor an MLP."""
        return sum(layer.other_parameters for layer in self.layers)

    @cached_property
    def num_parameters(self) -> int:
        """All weights of the language model, biases aside; encoders are not counted."""
        return (
            self.mixer_parameters
            + self.mlp_parameters
            + self.router_parameters
            + self.expert_parameters
            + self.num_vocabulary_matrices * self.vocabulary_parameters
            + self.lookup_parameters
            + self.other_parameters
            + self.norm_parameters
        )

    @cached_property
    def num_active_parameters(self) -> int:
        """Weights that one token meets: of the routed experts only those it is sent to."""
        active = sum(each.experts_per_token * each.one_expert_parameters(self.hidden_size) for each in self.moe_layers)
        return self.num_parameters - self.lookup_parameters - self.expert_parameters + active

    @cached_property
    def weight_bytes_by_part(self) -> dict[str, float]:
        """Memory of the weights, in bytes, by part."""
        precision = self.quantization
        return {
            "mixers": self.mixer_parameters * precision.attention_bytes,
            "mlps": self.mlp_parameters * precision.mlp_bytes,
            "experts": self.expert_parameters * precision.expert_bytes,
            "routers": self.router_parameters * BYTES_16BIT,
            "vocabulary": self.num_vocabulary_matrices * self.vocabulary_parameters * BYTES_16BIT,
            "lookups": self.lookup_parameters * BYTES_16BIT,
            "others": self.other_parameters * BYTES_16BIT,
            "norms": self.norm_parameters * BYTES_16BIT,
            "encoders": self.encoder_parameters * BYTES_16BIT,
        }

    @property
    def weight_bytes(self) -> float:
        """Memory of all weights, encoders included, in bytes."""
        return sum(self.weight_bytes_by_part.values())

    @cached_property
    def layers_by_kind(self) -> dict[str, int]:
        """How many mixers and MLPs there are of each kind, as ``{"full attention": 10, "window 1024": 52}``."""
        return dict(Counter(kind_of(part) for layer in self.layers for part in _parts(layer)))

    def kv_bytes_per_token(self, tp: int, element_bytes: int, *, growing_only: bool = True) -> int:
        """What all layers cache per token on each of ``tp`` GPUs.

        Args:
            tp: tensor parallelism degree.
            element_bytes: 2, or 1 for FP8.
            growing_only: leave out layers with a window or chunks, which soon cache no more.
        """
        return sum(
            token_bytes(mixer, tp, element_bytes)
            for mixer in self.attention
            if not growing_only or isinstance(mixer, LatentAttention) or mixer.reach == "full"
        )

    def kv_element_bytes(self, kv_cache_dtype: KvCacheDtype) -> int:
        """Bytes per element of cached keys and values; ``auto`` is what the checkpoint asks for, else 16 bit."""
        kind = self.kv_cache_type or "bf16" if kv_cache_dtype == "auto" else kv_cache_dtype
        return 1 if kind.startswith("fp8") else 2

    def state_bytes_per_request(self, tp: int) -> int:
        """Memory of one request's states on each of ``tp`` GPUs."""
        return sum(state.state_bytes(tp) for state in self.states)

    def splits_over(self, tp: int) -> bool:
        """Whether vLLM can split the heads, and blocks with a scale each, over ``tp`` GPUs."""
        whats = (self.heads_not_split_over(tp), self.blocks_not_split_over(tp), self.experts_not_split_over(tp))
        return whats == (None, None, None)

    def heads_not_split_over(self, tp: int) -> str | None:
        """What cannot be split over ``tp`` GPUs, as ``28 attention heads and 4 KV heads``; None: all can."""
        attention = (mixer for mixer in self.mixer_counts if not isinstance(mixer, StateMixer))
        return next((_heads(mixer) for mixer in attention if not _splits(mixer, tp)), None)

    def blocks_not_split_over(self, tp: int) -> str | None:
        """What would be cut within a block of weights with one scale, as ``MLPs 768 wide``; None: nothing.

        vLLM refuses to start then (``validate_fp8_block_shape``).
        """
        widths = [("MLPs", mlp.width) for mlp in self.mlp_counts if isinstance(mlp, Mlp)]
        widths += [("shared experts", mlp.shared_width) for mlp in self.mlp_counts if isinstance(mlp, Experts)]
        return self._cut(widths, self.quantization.mlp_bytes, tp)

    def experts_not_split_over(self, tp: int) -> str | None:
        """The same of routed experts, which vLLM takes with expert parallelism: each is on one GPU as a whole then."""
        widths = [("experts", mlp.expert_width) for mlp in self.mlp_counts if isinstance(mlp, Experts)]
        return self._cut(widths, self.quantization.expert_bytes, tp)

    def _cut(self, widths: Iterable[tuple[str, int]], weight_bytes: float, tp: int) -> str | None:
        block = self.quantization.block
        if not block or tp == 1 or weight_bytes >= BYTES_16BIT:
            return None
        cut = (f"{name} {width} wide" for name, width in widths if width % (tp * block))
        what = next(cut, None)
        return what and f"{what}, with a scale for each {block} of it,"

    def check_tp(self, tp: int) -> None:
        """Refuse a tensor parallelism degree over which the heads cannot be split.

        Raises:
            CombinationError: naming the degrees up to 8 that are possible.
        """
        heads = self.heads_not_split_over(tp)
        if heads is not None:
            valid = ", ".join(str(t) for t in (1, 2, 4, 8) if self.splits_over(t))
            raise CombinationError(f"tp: {heads} cannot be split over {tp} GPUs; valid: {valid}")


def token_bytes(mixer: Attention | LatentAttention, tp: int, element_bytes: int) -> int:
    """What one layer caches per token on each of ``tp`` GPUs, its indexer's keys included."""
    if isinstance(mixer, Attention):
        return mixer.kv_elements(tp) * element_bytes
    indexer = 0 if mixer.indexer is None else mixer.indexer.token_bytes
    return mixer.kv_width * element_bytes + indexer


def _splits(mixer: Attention | LatentAttention, tp: int) -> bool:
    if isinstance(mixer, LatentAttention):
        return mixer.num_heads % tp == 0
    kv_heads_fit = mixer.num_kv_heads % tp == 0 or tp % mixer.num_kv_heads == 0
    return mixer.num_heads % tp == 0 and kv_heads_fit


def _heads(mixer: Attention | LatentAttention) -> str:
    if isinstance(mixer, LatentAttention):
        return f"{mixer.num_heads} attention heads"
    return f"{mixer.num_heads} attention heads and {mixer.num_kv_heads} KV heads"


def _parts(layer: Layer) -> Iterable[Mixer | Mlp | Experts]:
    return layer.mixers if layer.mlp is None else (*layer.mixers, layer.mlp)


def kind_of(part: Mixer | Mlp | Experts) -> str:
    """What a mixer or an MLP is called, as ``full attention`` or ``window 1024``."""
    match part:
        case Experts():
            return "experts"
        case Mlp():
            return "mlp"
        case StateMixer():
            return part.kind
        case LatentAttention():
            return "latent attention" if part.indexer is None else "sparse latent attention"
    if not part.keeps_cache:
        return "attention to an earlier cache"
    return "full attention" if part.reach == "full" else f"{part.reach} {part.reach_tokens}"
