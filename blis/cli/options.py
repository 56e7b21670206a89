"""The flags of commands that have many, grouped as their helps show them.

A flag that fills a field of a configuration dataclass bears the field's name as its parameter name and shows
the field's default.
"""

from __future__ import annotations

from pathlib import Path

import click

from blis.cli.completion import gpu_completions, model_completions
from blis.cli.flags import LOG, OUTPUT_FORM, QUIET, REPORT, all_of, under
from blis.cli.values import (
    fitness_weights,
    held_values,
    name_list,
    number_list,
    one_of,
    positive_number,
    seconds_range,
    slo_targets_us,
    weights_by_name,
)
from blis.config.schema import (
    ADMISSION_POLICIES,
    LATENCY_MODELS,
    PRIORITY_POLICIES,
    ROUTING_POLICIES,
    WORKLOADS,
    ClusterOptions,
    Deployment,
    EngineOptions,
)

SCENARIOS = ("bursty-traffic", "unfair-tenants", "prefix-heavy", "mixed-slo")

PATH = click.Path(path_type=Path)


_model = under("Model and hardware")
_workload = under("Workload")
_cluster = under("Cluster and policies")
_evaluation = under("Decision tracing and evaluation")
_output = under("Run and output")
_goal = under("Goal")
_server = under("Server")
_measurement = under("Measurement and output")
_measured = under("Measurement")
_fit = under("Fit and output")

_SLO_HELP = "Limit, such as p99_ttft=200ms, mean_e2e=3s, or ttft=200ms for each request; may be repeated."
MODEL_HELP = "HuggingFace id, such as meta-llama/llama-3.1-8b-instruct."
#: What `blis memory` takes, too.
ASSUME_DENSE = _model(
    "--assume-dense-transformer",
    is_flag=True,
    default=Deployment.assume_dense_transformer,
    show_default=False,
    help="Take a model of a family that is not known for a plain dense transformer, and say so.",
)
_deployment_options = all_of(
    _model(
        "--hardware",
        metavar="GPU",
        shell_complete=gpu_completions,
        help="GPU type, such as H100 or A100-80.  [default: the model's]",
    ),
    _model("--tp", type=int, help="Tensor parallelism degree.  [default: the model's]"),
    _model("--vllm-version", metavar="VERSION", help="vLLM version, such as 0.8.4.  [default: the model's]"),
    _model(
        "--latency-model",
        **one_of(*LATENCY_MODELS, or_function=True),
        help="Force one model of step time.  [default: auto]",
    ),
    _model("--alpha-coeffs", type=number_list, metavar="A0,A1,A2", help="Queueing coefficients instead of known ones."),
    _model(
        "--beta-coeffs",
        type=number_list,
        metavar="B0,B1,B2[,B3,B4]",
        help="Step-time coefficients, likewise; the parameters of a function.",
    ),
    _model(
        "--front-end",
        metavar="NAME|FILE",
        help="API server before the engine, without coefficients: none, vllm, or a YAML file.  [default: vllm]",
    ),
    _model("--model-config-folder", type=PATH, help="Folder with the model's HuggingFace config.json."),
    ASSUME_DENSE,
    _model("--hardware-config", type=PATH, help="GPU specifications in place of the shipped file."),
    _model("--defaults-filepath", type=PATH, help="Defaults and coefficients in place of the shipped file."),
)

model_options = all_of(
    _model("--model", required=True, metavar="ID", shell_complete=model_completions, help=MODEL_HELP),
    _deployment_options,
)
#: The same for traces that may say themselves which model was measured.
measured_model_options = all_of(
    _model(
        "--model",
        metavar="ID",
        shell_complete=model_completions,
        help=MODEL_HELP + "  [default: what the trace says]",
    ),
    _deployment_options,
)

_kinds = (
    _workload("--workload", **one_of(*WORKLOADS), default="distribution", help="Kind of workload."),
    _workload("--workload-traces-filepath", type=PATH, help="Trace to replay, .csv or .parquet (--workload traces)."),
    _workload("--workload-spec", type=PATH, help="Clients from a YAML file, in place of --workload."),
    _workload("--scenario", **one_of(*SCENARIOS), help="Clients of a known kind, in place of --workload."),
)
_shapes = (
    _workload("--arrival", **one_of("constant", "poisson", "gamma"), default="poisson", help="Arrival process."),
    _workload("--arrival-cv", type=float, help="Coefficient of variation of gamma arrivals' gaps.  [default: 1]"),
    _workload("--prefix-tokens", type=int, default=0, help="Tokens all prompts begin with, before their own."),
    _workload("--prompt-tokens", type=float, default=512, help="Mean input tokens."),
    _workload("--prompt-tokens-stdev", type=float, default=256, help="Their standard deviation."),
    _workload("--prompt-tokens-min", type=int, default=2, help="Fewest input tokens."),
    _workload("--prompt-tokens-max", type=int, default=7000, help="Most input tokens."),
    _workload("--output-tokens", type=float, default=512, help="Mean output tokens."),
    _workload("--output-tokens-stdev", type=float, default=256, help="Their standard deviation."),
    _workload("--output-tokens-min", type=int, default=2, help="Fewest output tokens."),
    _workload("--output-tokens-max", type=int, default=7000, help="Most output tokens."),
    _workload("--seed", type=int, default=42, help="Seed of all random draws."),
)
workload_options = all_of(
    *_kinds,
    _workload("--rate", type=float, default=1.0, help="Requests per second."),
    _workload("--max-prompts", "--num-requests", "num_requests", type=int, default=100, help="Requests to generate."),
    *_shapes,
)
#: The same where the rate is what is looked for.
load_options = all_of(*_kinds, *_shapes)

cluster_options = all_of(
    _cluster("--num-instances", type=int, default=ClusterOptions.num_instances, help="Identical instances."),
    _cluster(
        "--admission-policy",
        **one_of(*ADMISSION_POLICIES, or_function=True),
        default=ClusterOptions.admission_policy,
        help="Which requests are let in.",
    ),
    _cluster(
        "--admission-latency",
        "admission_latency_us",
        type=int,
        default=ClusterOptions.admission_latency_us,
        help="From arrival to the admission decision, µs.",
    ),
    _cluster(
        "--token-bucket-capacity",
        type=float,
        default=ClusterOptions.token_bucket_capacity,
        help="Prompt tokens in the full bucket (token-bucket).",
    ),
    _cluster(
        "--token-bucket-refill-rate",
        type=float,
        default=ClusterOptions.token_bucket_refill_rate,
        help="Prompt tokens per second (token-bucket).",
    ),
    _cluster(
        "--routing-policy",
        **one_of(*ROUTING_POLICIES, or_function=True),
        default=ClusterOptions.routing_policy,
        help="Which instance a request is sent to.",
    ),
    _cluster(
        "--routing-latency",
        "routing_latency_us",
        type=int,
        default=ClusterOptions.routing_latency_us,
        help="From admission to the routing decision, µs.",
    ),
    _cluster(
        "--routing-cache-weight",
        type=float,
        default=ClusterOptions.routing_cache_weight,
        help="Weight of free KV memory (weighted).",
    ),
    _cluster(
        "--routing-load-weight",
        type=float,
        default=ClusterOptions.routing_load_weight,
        help="Weight of low load (weighted).",
    ),
    _cluster(
        "--routing-scorers",
        type=weights_by_name,
        metavar="NAME:WEIGHT,…",
        help="Scorers in place of these two weights (weighted).",
    ),
    _cluster(
        "--prefix-table-entries",
        type=int,
        default=ClusterOptions.prefix_table_entries,
        help="Prompt blocks the router remembers.",
    ),
    _cluster(
        "--snapshot-refresh-us",
        "queue_depth_refresh_us",  # the first of the three fields it sets
        type=int,
        default=ClusterOptions.queue_depth_refresh_us,
        help="Renew what policies see of instances this often, µs; 0: for each decision.",
    ),
    _cluster(
        "--scheduler",
        **one_of("fcfs", "priority-fcfs", "sjf", "reverse-priority"),
        default=EngineOptions.scheduler,
        help="Order of the waiting queue.",
    ),
    _cluster(
        "--priority-policy",
        **one_of(*PRIORITY_POLICIES, or_function=True),
        default=EngineOptions.priority_policy,
        help="What the schedulers by priority go by.",
    ),
    _cluster("--policy-config", type=PATH, help="Policies from a YAML file; flags win over it."),
)

fit_options = all_of(
    _measured("--trace-header", type=PATH, multiple=True, help="Header of a measured trace (YAML); may be repeated."),
    _measured("--trace-data", type=PATH, multiple=True, help="Its data (CSV), for each header."),
    _measured("--step-log", type=PATH, help="Log of single steps instead: vLLM's, or a .csv or .parquet table."),
    _fit("--law", **one_of("blackbox", "extended", "roofline"), default="blackbox", help="What is to be found."),
    _fit(
        "--free",
        type=name_list,
        metavar="FIELD,…",
        help="Fields of the GPU's entry to find (roofline).  [default: host_step_us]",
    ),
    _fit("--hold", type=held_values, metavar="NAME[=VALUE],…", help="Coefficients that are not to be found."),
    _fit("--holdout", type=float, default=0.3, help="Share of the measurement, its end, that nothing is learnt from."),
    _fit(
        "--export", type=PATH, metavar="FILE", help="Write what was found: .yaml defaults, .json hardware (roofline)."
    ),
    _fit("--output", **OUTPUT_FORM),
    _fit("--quiet", **QUIET),
    _fit("--log", **LOG),
)

capacity_options = all_of(
    _goal("--slo", "slos", multiple=True, metavar="METRIC=TIME", help=_SLO_HELP),
    _goal("--goodput", type=float, help="Share of requests that meet limits per request.  [default: 0.99 with these]"),
    _goal("--for-rate", type=positive_number, metavar="RATE", help="Find the fewest instances for this rate instead."),
    _goal("--max-instances", type=int, default=256, help="Most instances to try (--for-rate)."),
    _goal("--min-rate", type=float, help="Lowest rate to try, per second.  [default: 1/1024 of saturation]"),
    _goal("--max-rate", type=float, help="Highest rate to try, per second.  [default: saturation]"),
    _goal("--tolerance", type=float, default=0.01, help="Relative width to which the rate is found."),
    _goal(
        "--max-prompts", "--num-requests", "num_requests", type=int, default=2000, help="Requests of a run, at first."
    ),
    _goal("--replications", type=int, default=8, help="Runs per rate near the limit, with seeds of their own."),
    _goal("--jobs", type=int, help="Threads.  [default: one per CPU]"),
    _goal("--report", **REPORT),
    _goal("--output", **OUTPUT_FORM),
    _goal("--quiet", **QUIET),
    _goal("--log", **LOG),
)

replay_options = all_of(
    _workload("--trace-header", type=PATH, required=True, help="Header of the trace (YAML)."),
    _workload("--trace-data", type=PATH, required=True, help="Its data (CSV)."),
    _workload("--seed", type=int, default=42, help="Seed of regret samples; all else is recorded."),
)

evaluation_options = all_of(
    _evaluation("--trace-level", **one_of("none", "decisions"), default="none", help="Which decisions to record."),
    _evaluation("--trace-path", type=PATH, help="Write the recorded decisions as Parquet."),
    _evaluation(
        "--counterfactual-k",
        type=click.IntRange(min=0),
        default=0,
        help="Record the best so many instances per decision, and its regret; 0: all, and no regret.",
    ),
    _evaluation("--summarize-trace", is_flag=True, help="Print a summary of the recorded decisions."),
    _evaluation(
        "--regret-samples",
        type=click.IntRange(min=0),
        default=0,
        help="Routing decisions to simulate again with the best other instance.",
    ),
    _evaluation(
        "--fitness-weights",
        type=fitness_weights,
        metavar="KEY:WEIGHT,…",
        help="Print one score from weighted metrics, such as throughput:0.5,p99_ttft:0.5.",
    ),
    _evaluation(
        "--slo-targets",
        "slo_targets_us",
        type=slo_targets_us,
        metavar="CLASS:MS,…",
        help="Longest E2E per SLO class, ms, such as interactive:2000,batch:60000.",
    ),
)

output_options = all_of(
    _output("--horizon", "horizon_us", type=int, metavar="TICKS", help="End of simulated time, µs.  [default: none]"),
    _output("--results-path", "--metrics-path", "results_path", type=PATH, help="Write summary and requests as JSON."),
    _output("--outcomes-path", type=PATH, help="Write one row per request as Parquet."),
    _output("--report", **REPORT),
    _output("--trace-output", type=PATH, metavar="PREFIX", help="Write PREFIX.yaml and PREFIX.csv for blis replay."),
    _output("--timeline", type=PATH, help="Write steps and requests as a trace for Perfetto (JSON); runs slower."),
    _output(
        "--timeline-window",
        type=seconds_range,
        metavar="START:END",
        help="Seconds it covers.  [default: the first ones]",
    ),
    _output("--timestamps", is_flag=True, help="Add wall-clock times to the metrics."),
    _output("--output", **OUTPUT_FORM),
    _output("--quiet", **QUIET),
    _output("--log", **LOG | {"help": "Verbosity on stderr; debug: all events of requests, trace: steps, too."}),
    _output("--log-file", type=PATH, metavar="FILE", help="Write these events there instead (--log debug or trace)."),
)

server_options = all_of(
    _server("--server-url", required=True, metavar="URL", help="Such as http://localhost:8000."),
    _server("--model", required=True, metavar="ID", help="The model's id, as the server knows it."),
    _server("--api-format", **one_of("completions", "chat"), default="completions", help="Which API is called."),
    _server("--streaming/--no-streaming", default=True, help="Read tokens as they come."),
    _server("--ignore-eos", is_flag=True, help="Have outputs of just the wanted length (vLLM, SGLang)."),
    _server(
        "--api-key",
        envvar=("BLIS_API_KEY", "OPENAI_API_KEY"),
        metavar="KEY",
        help="Sent as bearer token.  [default: BLIS_API_KEY or OPENAI_API_KEY of the environment]",
    ),
    _server("--tokenizer", metavar="PATH|ID", help="tokenizer.json, or HuggingFace id, for prompts of exact length."),
)

recorded_options = all_of(
    _workload("--trace-header", type=PATH, help="Header of a TraceV2 (YAML) to send, in place of --workload."),
    _workload("--trace-data", type=PATH, help="Its data (CSV)."),
    _workload("--defaults-filepath", type=PATH, help="Presets in place of the shipped ones."),
)

measurement_options = all_of(
    _measurement(
        "--trace-output", type=PATH, required=True, metavar="PREFIX", help="Write PREFIX.yaml and PREFIX.csv."
    ),
    _measurement("--chunk-times", type=PATH, help="Write the arrival of each piece of each answer as Parquet."),
    _measurement("--max-concurrency", type=int, default=256, help="Most requests in flight."),
    _measurement("--timeout", "timeout_s", type=float, default=300.0, help="Longest time for an answer, s."),
    _measurement(
        "--warmup-requests",
        "--warmup",
        "warm_up_requests",
        type=int,
        default=0,
        help="First requests that are not judged.",
    ),
    _measurement("--rtt-ms", type=float, help="Round-trip time to the server, ms, noted in the trace."),
    _measurement("--horizon", "horizon_us", type=int, help="Send no request later than this, µs.  [default: none]"),
    _measurement("--output", **OUTPUT_FORM),
    _measurement("--quiet", **QUIET),
    _measurement("--log", **LOG),
)
