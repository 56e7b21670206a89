"""How many tokens a model can attend to, from its ``config.json``: the largest ``max_model_len`` vLLM takes for it.

The rules are those by which vLLM (0.8.4 to 0.33.0) finds that figure. Scaled rotary embeddings reach ``factor`` times
as far as the config says, unless they are of a kind whose configs give the scaled figure already.
"""

from __future__ import annotations

from collections.abc import Iterator

from blis.files.decode import Section

#: What families of models call it; where a config has several, the least one holds.
_KEYS = (
    *("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_target_positions"),
    *("max_sequence_length", "max_seq_length", "seq_len", "max_position_embedding"),
)
#: Cohere's own key; it holds whatever the others say.
_OVERRIDING_KEY = "model_max_length"
#: No model reaches anywhere near so many times as far.
_MOST_FACTOR = 1e6
#: Kinds of rotary scaling that `_KEYS` already contain.
_CONTAINED = ("su", "longrope", "llama3")


def read_context_length(config: Section) -> int | None:
    """The most tokens of a request that the model is made for, input and output together; None: the config says none.

    Raises:
        ConfigError: a figure is none.
    """
    keys = [_OVERRIDING_KEY] if config.has(_OVERRIDING_KEY) else [key for key in _KEYS if config.has(key)]
    if not keys:
        return None
    length, factor = min(config.integer(key, least=1) for key in keys), 1.0
    if "gemma3" in config.text("model_type", ""):  # contained, too
        return length
    for scaling in _rotary_scalings(config):
        kind = scaling.text("rope_type", scaling.text("type", "default"))
        if kind in _CONTAINED:
            continue
        if scaling.has("factor"):
            factor = scaling.number("factor", most=_MOST_FACTOR)
        if kind.endswith("yarn"):
            length = scaling.integer("original_max_position_embeddings", length, least=1)
    return int(length * factor)


def _rotary_scalings(config: Section) -> Iterator[Section]:
    """How rotary embeddings are scaled: once, or for each kind of layer."""
    for key in ("rope_scaling", "rope_parameters"):
        if not config.has(key):
            continue
        scaling = config.section(key)
        inner = [name for name in scaling.names() if scaling.holds_mapping(name)]
        yield from (scaling.section(name) for name in inner) if inner else (scaling,)
        return
