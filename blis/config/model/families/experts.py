"""Mixtures of experts, by the names that families give to their sizes, and which layers have them."""

from __future__ import annotations

from collections.abc import Sequence

from blis.config.model.families.parts import dense_mlp
from blis.config.model.layers import Experts, Mlp
from blis.config.model.strict import ModelConfig
from blis.files.decode import Section

COUNT = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "top_k_experts")
WIDTH = ("moe_intermediate_size", "expert_intermediate_size")
_SHARED_COUNT = ("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts")
_SHARED_WIDTH = (
    *("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size"),
    *("shared_intermediate_size", "share_expert_dim", "shared_expert_dim"),
)
_DENSE_FIRST = ("first_k_dense_replace", "num_dense_layers", "moe_layer_num_skipped")


def has_experts(config: ModelConfig) -> bool:
    """Whether tokens are routed at all; one expert is none."""
    return any(config.has(key) for key in COUNT) and config.size(*COUNT, least=0) > 1


def routed(
    config: ModelConfig, *, num_matrices: int = 3, width: int | None = None, shared_width: int | None = None
) -> Experts:
    """The experts of a layer.

    Args:
        config: the configuration.
        num_matrices: of one expert.
        width: of one expert, where the configuration does not say it as such.
        shared_width: of what all tokens take, where the class says it.
    """
    count = config.size(*COUNT)
    chosen = config.size(*CHOSEN)
    said, named = (next(key for key in keys if config.has(key)) for keys in (CHOSEN, COUNT))
    check_chosen(config, said, chosen, named, count)
    one = config.size(*WIDTH, default=width)
    shared = _shared_width(config, one) if shared_width is None else shared_width
    return Experts(count, chosen, one, shared, num_matrices)


def check_chosen(section: Section, said: str, chosen: int, named: str, count: int) -> None:
    """Refuse to send a token to more experts than there are."""
    if chosen > count:
        section.fail(said, f"must be <= {named} ({count}), got {chosen}")


def _shared_width(config: ModelConfig, expert_width: int) -> int:
    if not config.flag("moe_router_enable_shared_expert", True):
        config.ignore(*_SHARED_WIDTH, *_SHARED_COUNT)
        return 0
    says_width = any(config.has(key) for key in _SHARED_WIDTH)
    each = config.size(*_SHARED_WIDTH, default=expert_width, least=0)
    return config.size(*_SHARED_COUNT, default=int(says_width), least=0) * each


def sparse_layers(config: ModelConfig, count: int) -> list[bool]:
    """Of each layer, whether it has experts: those that no key makes dense."""
    types = config.layer_texts("mlp_layer_types", count)
    if types or config.has("is_moe_layer"):
        config.ignore(*_DENSE_FIRST, "mlp_only_layers", "decoder_sparse_step", "moe_layer_freq", "is_moe_layer")
    if types:
        return [_is_sparse_type(config, i, name) for i, name in enumerate(types)]
    if config.has("is_moe_layer"):
        return config.per_layer_flags("is_moe_layer", count)
    first = config.size(*_DENSE_FIRST, default=0, least=0)
    if first >= count:
        config.fail(_DENSE_FIRST[0], f"must be < num_hidden_layers ({count}), got {first}")
    dense = config.numbers_of_layers("mlp_only_layers", count)
    step = config.integer("decoder_sparse_step", 1, least=1)
    frequent = _by_frequency(config, count)
    return [i >= first and i not in dense and (i + 1) % step == 0 and frequent[i] for i in range(count)]


def _is_sparse_type(config: ModelConfig, i: int, name: str) -> bool:
    if name not in ("dense", "sparse", "moe"):
        config.fail(f"mlp_layer_types[{i}]", f"{name!r} is not understood; valid: dense, sparse")
    return name != "dense"


def _by_frequency(config: ModelConfig, count: int) -> Sequence[bool]:
    if config.holds_list("moe_layer_freq"):
        return [value > 0 for value in config.per_layer("moe_layer_freq", count=count, least=0)]
    period = config.integer("moe_layer_freq", 1, least=1)
    return [i % period == 0 for i in range(count)]


def mlps(
    config: ModelConfig, count: int, *, num_matrices: int = 3, is_as_wide: bool = False, is_mixture: bool = True
) -> list[Mlp | Experts]:
    """The MLPs of all layers, some of which have experts.

    Args:
        config: the configuration.
        count: of layers.
        num_matrices: of an MLP or expert.
        is_as_wide: whether ``intermediate_size`` is an expert's width, too.
        is_mixture: whether models of the family without experts must say so.

    Raises:
        ConfigError: among others, nothing is said of how many experts there are.
    """
    if is_mixture and not any(config.has(key) or config.is_given(key) for key in COUNT):
        config.fail(COUNT[0], "missing")
    if not has_experts(config):
        if any(config.has(key) for key in COUNT):
            _ignore_all(config)
        return [dense_mlp(config, num_matrices=num_matrices)] * count
    sparse = sparse_layers(config, count)
    width = config.size("intermediate_size") if is_as_wide else None
    experts = routed(config, num_matrices=num_matrices, width=width)
    if all(sparse):
        config.ignore("intermediate_size")
        return [experts] * count
    dense = dense_mlp(config, num_matrices=num_matrices)
    return [experts if is_sparse else dense for is_sparse in sparse]


def _ignore_all(config: ModelConfig) -> None:
    """Take note of what is said of experts that there are none of."""
    config.ignore(*CHOSEN, *WIDTH, *_SHARED_COUNT, *_SHARED_WIDTH, *_DENSE_FIRST)
    config.ignore("moe_layer_freq", "decoder_sparse_step", "mlp_only_layers")
