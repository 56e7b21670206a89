"""The roofline law for layers that are alike, written from docs/roofline.md: what a step of such a model lasts.

It reads ``config.json`` and the hardware file by itself and shares nothing with `blis.latency`. Models of one kind of
attention with KV heads, dense or of experts in all layers; weights of one precision, attention excepted.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Precision(NamedTuple):
    """Bytes per weight of attention, dense MLPs and experts, and whether each is multiplied with 8 bit."""

    attention: float = 2
    mlp: float = 2
    experts: float = 2
    narrow: bool = False


def step_parts(
    config: dict[str, Any],
    gpu: dict[str, Any],
    tp: int,
    profile: str,
    precision: Precision,
    prefills: list[tuple[int, int]],
    decodes: list[int],
    ranks: int = 1,
) -> dict[str, float]:
    """The parts of one step in µs, by the names of `blis.latency.roofline.StepTerms`, and ``step``."""
    # the model
    d, layers = config["hidden_size"], config["num_hidden_layers"]
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads", heads)
    dh = config.get("head_dim") or d // heads
    experts = config.get("num_local_experts") or config.get("num_experts") or 0
    chosen = config.get("num_experts_per_tok", 0)
    wide = config["intermediate_size"]
    expert_wide = config.get("moe_intermediate_size") or wide
    moe, dense = (layers, 0) if experts else (0, layers)
    window = config.get("sliding_window") or 0
    windowed = config.get("layer_types", []).count("sliding_attention")
    # the GPU
    share = gpu["efficiency"]
    memory = gpu["memory_bandwidth_gb_per_s"] * 1e3
    peak16, peak8 = gpu["peak_16bit_tflops"] * 1e6, gpu["peak_8bit_tflops"] * 1e6
    # the batch
    new = sum(n for _, n in prefills)
    tokens, requests = new + len(decodes), len(prefills) + len(decodes)

    def product(weights: float, size: float, times: float = tokens) -> float:
        narrow = precision.narrow and size < 1.5
        rate = peak8 * share["linear_8bit"] if narrow else peak16 * share["linear_16bit"]
        return weights / tp * max(2 * times / rate, size / memory / share["weight_streaming"])

    attention = layers * (2 * d * heads * dh + 2 * d * kv_heads * dh)
    parts = {
        "linear": product(attention, precision.attention)
        + product(dense * 3 * d * wide, precision.mlp)
        + product(moe * d * experts, 2),
        "head": product(config["vocab_size"] * d, 2, requests),
    }
    moved = layers * (4 * d + (heads + 2 * kv_heads) * dh / tp) + moe * chosen * d
    moved += 1.5 * (dense * wide + moe * chosen * expert_wide) / tp
    parts["elementwise"] = 2 * tokens * moved / memory / share["weight_streaming"]
    parts["experts"] = 0.0
    if experts:
        wanted = experts * (1 - (1 - chosen / experts) ** (tokens * ranks))
        narrow = precision.narrow and precision.experts < 1.5
        rate = peak8 * share["experts_8bit"] if narrow else peak16 * share["experts_16bit"]
        each = moe * 3 * d * expert_wide / tp
        read = precision.experts * wanted / ranks / memory / share["expert_streaming"]
        parts["experts"] = each * (2 * chosen * tokens / rate + read)

    # attention
    row = 2 * max(1, kv_heads // tp) * dh * 2
    reads = memory * share["decode_attention"]
    flops = peak16 * share["prefill_attention"]
    looked_at = sum(c + 1 for c in decodes)
    looked_at = (layers - windowed) * looked_at + windowed * min(looked_at, window * len(decodes))
    penalty = gpu["mixed_step_penalty"] * min(1, (heads / kv_heads - 1) / 7) if new else 0
    pair = 4 * heads / tp * dh
    parts["decode_attention"] = max(row * looked_at / reads * (1 + penalty), pair * looked_at / flops)
    parts["prefill_attention"] = 0.0
    if new:
        longest = max(p + n for p, n in prefills)
        pairs = max(sum(n * p + n * (n + 1) / 2 for p, n in prefills), 64 * gpu["num_sms"] / (heads / tp) * longest)
        extra = gpu["prefill_extra_context_tokens"] * new
        context = sum(p + n for p, n in prefills)
        queries = (layers - windowed) * (pairs + extra) + windowed * (min(pairs, window * new) + extra)
        keys = (layers - windowed) * context + windowed * min(context, window * len(prefills) + new)
        parts["prefill_attention"] = max(pair * queries / flops, row * keys / reads)

    # everything around the kernels
    parts["comm"] = 0.0
    if tp > 1:
        cost = gpu["all_reduce"][str(tp)]
        sent = (tp - 1) / tp / (cost["rate_gb_per_s"] * 1e3)
        parts["comm"] = 2 * layers * (cost["latency_us"] + 2 * sent * tokens * d * 2)
        parts["comm"] += cost["latency_us"] + sent * requests * config["vocab_size"] * 2
    if ranks > 1:
        assert tp == 1
        cost = gpu["all_reduce"][str(ranks)]
        parts["comm"] = moe * 2 * (cost["latency_us"] + (ranks - 1) * tokens * d * 2 / (cost["rate_gb_per_s"] * 1e3))
    parts["gaps"] = 30 * layers + 35 * moe
    host = gpu["host_profiles"][profile]
    launch = host["prefill_launch_us_per_layer" if new else "decode_launch_us_per_layer"]
    work = sum(parts.values())
    parts["host"] = gpu["host_factor"] * host["step_us"] + host["per_request_us"] * requests
    parts["launch"] = gpu["host_factor"] * launch * layers
    parts["step"] = parts["host"] + max(work, parts["launch"])
    return parts
