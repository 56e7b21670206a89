"""All families by ``model_type``, and those that are known not to fit."""

from __future__ import annotations

from blis.config.model.families.dense import DENSE
from blis.config.model.families.family import Family
from blis.config.model.families.gemma import GEMMA
from blis.config.model.families.gpt import GPT
from blis.config.model.families.hybrid import HYBRID
from blis.config.model.families.latent import LATENT
from blis.config.model.families.linear import LINEAR
from blis.config.model.families.mixtures import MIXTURES
from blis.config.model.families.nemotron import NEMOTRON
from blis.config.model.families.sparse import SPARSE
from blis.config.model.families.step import STEP

FAMILIES: dict[str, Family] = {
    **DENSE,
    **GPT,
    **SPARSE,
    **MIXTURES,
    **LATENT,
    **GEMMA,
    **HYBRID,
    **LINEAR,
    **NEMOTRON,
    **STEP,
}

#: What is known to be missing for some families.
NOT_MODELLED = {
    "mllama": "layers of cross attention to images",
    "mllama_text_model": "layers of cross attention to images",
    "zamba": "one block whose weights several layers share",
    "zamba2": "blocks whose weights several layers share",
    "recurrent_gemma": "its recurrent layers (RG-LRU)",
    "rwkv": "its recurrent layers (RWKV)",
    "rwkv6": "its recurrent layers (RWKV)",
    "rwkv7": "its recurrent layers (RWKV)",
    "xlstm": "its recurrent layers (xLSTM)",
    "plamo2": "its own variant of Mamba",
    "deepseek_v4": "compressed sparse attention and hyper-connections",
    "jetmoe": "mixtures of attention heads",
    "phi4mm": "LoRA adapters that images and sound switch on",
    "phi4_multimodal": "LoRA adapters that images and sound switch on",
    "minimax_m3_vl_text": "block-sparse attention",
    "phi3small": "block-sparse attention",
    "phi4flash": "gated memory units, and layers that look at one layer's cache",
    "t5": "an encoder beside the decoder",
    "t5gemma": "an encoder beside the decoder",
    "bart": "an encoder beside the decoder",
    "whisper": "an encoder beside the decoder",
    "bert": "a decoder",
}
