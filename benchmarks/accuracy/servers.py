"""The server of a measured point as blis can express it, and what of it cannot be."""

import re

from accuracy.points import FOLDER
from blis.config.model_names import shipped_models
from blis.config.schema import ClusterOptions, Deployment, EngineOptions
from blis.files.resources import data_path

#: vLLM whose rules other engines are run by, and what is meant where a source doesn't say.
OTHERS_VERSION, UNSAID_VERSION = "0.22.1", "0.17.0"
#: The first with the V1 engine that blis knows the rules of.
FIRST_VERSION = (0, 8, 4)


def inexpressible(point):
    """Why blis cannot be asked about a point; None: it can."""
    reasons = {
        "turns whose lengths were not published": point.load.kind == "turns",
        "CUDA graphs off": not point.cuda_graphs,
        "pipeline parallelism": point.pp > 1,
        "attention data parallelism": point.attention_dp,
        "data-parallel attention with expert parallelism": point.dp > 1 and point.ep > 1,
        "no config.json of the model": point.config is None,
        "lengths were not published": point.input is None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def approximations(point):
    """What of a point is run as something else."""
    differences = {
        f"{point.engine} as vLLM": point.engine != "vllm",
        "the V0 engine as V1": "V0" in (point.version or ""),
        "expert parallelism as tensor parallelism": point.ep > 1,
        "data-parallel replicas as instances": point.dp > 1,
    }
    return [difference for difference, holds in differences.items() if holds]


def deployment_of(point, hardware_config=None):
    """What runs on what, by the roofline."""
    return Deployment(
        point.config if point.config in shipped_models() else f"measured/{point.config}",
        hardware=point.gpu,
        tp=point.tp,
        vllm_version=version_of(point),
        latency_model="roofline",
        model_config_folder=_config_folder(point.config),
        hardware_config=hardware_config,
        gpu_memory_utilization=point.gpu_memory_utilization,
        kv_cache_dtype=point.kv_dtype,
        front_end="none" if "no HTTP" in (point.client or "") else None,
    )


def _config_folder(config):
    ours = FOLDER / "models" / config
    return ours if ours.is_dir() else data_path("model_configs") / config


def version_of(point):
    """The vLLM release whose rules a point is run by."""
    if point.engine != "vllm":
        return OTHERS_VERSION
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", point.version or "")
    if not found:
        return UNSAID_VERSION
    release = tuple(int(part or 0) for part in found.groups())
    return ".".join(map(str, max(release, FIRST_VERSION) if release[:2] < (0, 8) else release))


def options_of(point):
    """The engine's settings; what was not published is what that release does by itself."""
    return EngineOptions(
        max_num_running_reqs=point.max_num_seqs,
        max_num_scheduled_tokens=point.max_num_batched_tokens,
        max_model_len=point.max_model_len,
        enable_prefix_caching=point.prefix_caching,
    )


def cluster_of(point):
    """Replicas take turns."""
    return ClusterOptions(num_instances=point.dp)
