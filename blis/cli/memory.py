"""``blis memory``: what becomes of a GPU's memory, and whether a model fits."""

from __future__ import annotations

from typing import Any

import click

from blis.cli.completion import gpu_completions, model_completions
from blis.cli.console import print_result, set_verbosity
from blis.cli.engine_options import (
    ACTIVATION_GIB,
    BLOCK_SIZE,
    GPU_MEMORY_UTILIZATION,
    KV_CACHE_DTYPE,
    MAX_NUM_RUNNING_REQS,
    MAX_NUM_SCHEDULED_TOKENS,
    PREFIX_CACHING,
    QUANTIZATION,
)
from blis.cli.flags import LOG, OUTPUT_FORM, QUIET, REPORT, GroupedCommand, all_of, from_flags, under
from blis.cli.options import ASSUME_DENSE, MODEL_HELP, PATH
from blis.cli.pages import check_page, write_page
from blis.cli.values import AUTO_LENGTH, length_or_auto
from blis.config.schema import Deployment, EngineOptions

_model = under("Model and hardware")
_engine = under("Engine (vLLM server parameters)")
_output = under("Output")

_options = all_of(
    _model("--model", required=True, metavar="ID", shell_complete=model_completions, help=MODEL_HELP),
    _model(
        "--hardware",
        metavar="GPU",
        shell_complete=gpu_completions,
        help="GPU type, such as H100 or A100-80.  [default: the model's]",
    ),
    _model("--tp", type=int, help="Tensor parallelism degree.  [default: the model's, else the smallest that fits]"),
    _model("--vllm-version", metavar="VERSION", help="vLLM version, such as 0.11.0.  [default: the newest modelled]"),
    _model("--model-config-folder", type=PATH, help="Folder with the model's HuggingFace config.json."),
    ASSUME_DENSE,
    _model("--hardware-config", type=PATH, help="GPU specifications in place of the shipped file."),
    _model("--defaults-filepath", type=PATH, help="Defaults in place of the shipped file."),
    MAX_NUM_RUNNING_REQS,
    MAX_NUM_SCHEDULED_TOKENS,
    _engine(
        "--max-model-len",
        type=length_or_auto,
        metavar="INTEGER|auto",
        help="Most tokens of a request; auto, or -1: as many as there is room for.  [default: the model's context]",
    ),
    GPU_MEMORY_UTILIZATION,
    KV_CACHE_DTYPE,
    QUANTIZATION,
    BLOCK_SIZE,
    PREFIX_CACHING,
    _engine("--enforce-eager", is_flag=True, help="No CUDA graphs."),
    ACTIVATION_GIB,
    _output("--report", **REPORT),
    _output("--output", **OUTPUT_FORM),
    _output("--quiet", **QUIET),
    _output("--log", **LOG),
)


@click.command(cls=GroupedCommand)
@_options
@click.pass_context
def memory(ctx: click.Context, /, **flags: Any) -> None:
    """Say what becomes of a GPU's memory when vLLM starts a model, and whether the model fits.

    A model that does not fit is an answer, with the reason and the fewest GPUs that do.
    """
    set_verbosity(flags)
    check_page(flags)
    from blis.studies.memory.asking import gpu_memory
    from blis.studies.memory.report import report, text

    is_fitted = flags["max_model_len"] == AUTO_LENGTH
    deployment = from_flags(Deployment, flags)
    engine = from_flags(EngineOptions, flags | ({"max_model_len": None} if is_fitted else {}))
    found = gpu_memory(deployment, engine=engine, enforce_eager=flags["enforce_eager"], fit_max_model_len=is_fitted)

    def show() -> None:
        print_result(flags["output"], lambda: report(found), lambda: text(found))

    write_page(ctx, flags, found.write_report, show)
