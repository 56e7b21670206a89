"""Valid files, what reads each of them, and ways to break them: bytes, texts, structures and tables."""

import copy
import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from helpers_cli import LLAMA
from helpers_convert import TINY, WITHOUT_ARRIVALS

import blis
from blis.config.defaults import load_defaults
from blis.config.hardware import load_hardware
from blis.config.model.reading import read_model
from blis.measurement.fit.step_log import read_step_log
from blis.outcomes.outcomes import Outcomes
from blis.studies.bench.file import load_bench
from blis.studies.bench.golden import read_golden
from blis.studies.compare.sides import side_of
from blis.studies.plan.file import load_plan
from blis.studies.sweep.file import load_sweep
from blis.studies.sweep.page import read_swept
from blis.workload.convert.converting import convert
from blis.workload.convert.options import ReadOptions, Selection
from blis.workload.inspect.survey import inspect_trace
from blis.workload.traces.csv import load_csv_trace
from blis.workload.traces.parquet import load_parquet_trace
from blis.workload.traces.tracev2.tracev2 import TraceV2, load_tracev2

ROOT = Path(__file__).parents[1]
#: Models whose configurations are broken: of several parts, with states, quantised, plain.
FUZZED_MODELS = ("qwen3.5-35b-a3b", "ai21-jamba-mini-1.7", "deepseek-r1", "qwen3-14b-awq", "codellama-34b-instruct-hf")
#: Values that nobody expects, as YAML and JSON can say them.
VALUES = [
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 2**31, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**400, -(10**400)),
    *(1e-320, 5e-324, 1e15, 1e300, 1e308, -1e308, float("inf"), float("-inf"), float("nan")),
    *("", " ", "0", "nan", "-", "..", "../..", "/", "/dev/null", "a\0b", "\ud800", "\x1b[31m", "a" * 300, "é\u202e"),
    *([], {}, [[]], [{}], [None], [[[[1]]]], {"": 1}, {"a": {"b": [1]}}, {"1": 1}, [1e308, 1e308], ["a", 1]),
]
#: Pieces that texts get at any place.
PIECES = [
    *(
        b"\0",
        b"\xff",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\xc3",
        b"\r",
        b"\n",
        b"\n\n",
        b"\t",
        b" ",
        b'"',
        b"'",
        b",",
        b":",
    ),
    *(
        b":",
        b"[",
        b"]",
        b"{",
        b"}",
        b"#",
        b"- ",
        b"? ",
        b"&a ",
        b"*a",
        b"<<: *a",
        b"!!binary ",
        b"!!int ",
        b"!!set ",
        b"!x ",
    ),
    *(
        b"---\n",
        b"...\n",
        b"%YAML 9.9\n",
        b"1e400",
        b"-1",
        b"9" * 400,
        b"9" * 5000,
        b"0x",
        b"NaN",
        b"Infinity",
        b".nan",
    ),
    *(b"2001-99-99", b"1:2:3", b"\\ud800", b"\\u0000", b"null", b"true", b"[" * 3000, b'{"a":' * 3000, b"&a [*a, *a]"),
    *("\u2028".encode(), "\x85".encode(), "١".encode(), b"1_000", b"1e-400", b"-0", b"+", b"~", b"Infinity"),
]


def broken_bytes(rng, data):
    """Some bytes changed, left out, doubled or put in; or the end lost, or another encoding."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(len(data) + 1))
        end = min(len(data), start + int(rng.integers(1, 1 + min(40, max(1, len(data))))))
        match int(rng.integers(7)):
            case 0:
                data[start:end] = rng.bytes(end - start)
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = data[start:end]
            case 3 | 4:
                data[start:start] = PIECES[int(rng.integers(len(PIECES)))]
            case 5:
                data[start:end] = PIECES[int(rng.integers(len(PIECES)))]
            case 6 if rng.random() < 0.3:
                del data[start:]
    if rng.random() < 0.03:
        text = bytes(data).decode(errors="replace")
        data = text.encode(["utf-16", "utf-32", "cp1252", "utf-8-sig"][int(rng.integers(4))], errors="replace")
    return bytes(data)


def places(value, found=None):
    """Every place of a structure, as the container and the key."""
    found = [] if found is None else found
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], dict | list):
            places(value[key], found)
    return found


def broken_values(rng, top):
    """A structure with some values replaced, left out, wrapped, renamed or exchanged."""
    top = copy.deepcopy(top)
    for _ in range(int(rng.integers(1, 4))):
        found = places(top)
        if not found:
            return top
        container, key = found[int(rng.integers(len(found)))]
        other, other_key = found[int(rng.integers(len(found)))]
        match int(rng.integers(8)):
            case 0 | 1 | 2 | 3:
                container[key] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
            case 4:
                del container[key]
            case 5:
                container[key] = [container[key]] * int(rng.integers(1, 4))
            case 6:
                container[key] = copy.deepcopy(other[other_key])
            case 7 if isinstance(container, dict):
                container[str(VALUES[int(rng.integers(31, 39))])] = container.pop(key)
    return top


def broken_yaml(rng, data):
    if rng.random() < 0.5:
        return broken_bytes(rng, data)
    top = broken_values(rng, yaml.safe_load(data))
    try:
        text = yaml.safe_dump(top, sort_keys=False)
    except (ValueError, yaml.YAMLError):  # numbers of too many digits
        return broken_bytes(rng, data)
    return text.encode(errors="surrogatepass")


def broken_json(rng, data):
    if rng.random() < 0.5:
        return broken_bytes(rng, data)
    return json.dumps(broken_values(rng, json.loads(data))).encode()


def broken_lines(rng, data):
    """JSON lines, one of which is broken."""
    lines = data.splitlines()
    place = int(rng.integers(len(lines)))
    lines[place] = broken_json(rng, lines[place] or b"{}")
    return b"\n".join(lines)


def broken_csv(rng, data):
    """A table of texts with one field changed."""
    if rng.random() < 0.5:
        return broken_bytes(rng, data)
    lines = data.split(b"\n")
    place = int(rng.integers(len(lines)))
    fields = lines[place].split(b",")
    value = VALUES[int(rng.integers(30))]
    new = str(value)[:400] if not isinstance(value, int) or abs(value) < 1e300 else "9" * 400
    fields[int(rng.integers(len(fields)))] = new.encode(errors="replace")
    lines[place] = b",".join(fields)
    return b"\n".join(lines)


def broken_parquet(rng, data):
    """Bytes changed, or columns with other names, types, values or numbers of rows; or other metadata."""
    if rng.random() < 0.4:
        return broken_bytes(rng, data)
    table = pq.read_table(io.BytesIO(data))
    at = int(rng.integers(table.num_columns))
    name = table.column_names[at]
    match int(rng.integers(8)):
        case 0:
            table = table.drop_columns([name])
        case 1:
            table = table.rename_columns([f"{other}x" if other == name else other for other in table.column_names])
        case 2:
            kinds = (pa.string(), pa.float64(), pa.int8(), pa.list_(pa.int64()), pa.null(), pa.bool_(), pa.binary())
            nothing = pa.nulls(len(table), kinds[int(rng.integers(len(kinds)))])
            table = table.set_column(at, name, nothing)
        case 3:
            numbers = [VALUES[int(rng.integers(3, 30))] for _ in range(len(table))]
            floats = [float(x) if not isinstance(x, int) or abs(x) < 1e300 else 1e308 for x in map(_number, numbers)]
            table = table.set_column(at, name, pa.array(floats))
        case 4:
            whole = pa.array(rng.integers(-(2**63), 2**63 - 1, len(table)))
            table = table.set_column(at, name, whole)
        case 5:
            table = table.slice(0, int(rng.integers(len(table) + 1)))
        case 6:
            table = table.append_column(name, table[name])
        case 7:
            held = dict(table.schema.metadata or {b"none": b"{}"})
            key = list(held)[int(rng.integers(len(held)))]
            held[key] = broken_json(rng, held[key]) if held[key][:1] in b"{[" else b"1"
            table = table.replace_schema_metadata(held)
    sink = io.BytesIO()
    try:
        pq.write_table(table, sink)
    except (pa.ArrowException, ValueError):
        return broken_bytes(rng, data)
    return sink.getvalue()


def _number(value):
    return value if isinstance(value, int | float) else 0


@dataclasses.dataclass
class Target:
    """What is to be broken, how, and what reads it then."""

    path: Path
    breaks: object
    read: object

    def __post_init__(self):
        self.valid = self.path.read_bytes()

    def write(self, data):
        self.path.write_bytes(data)


def _spec(path):
    spec = blis.load_workload_spec(path)
    few = min(50, spec.num_requests or 50)
    table = dataclasses.replace(spec, num_requests=few).requests(spec.seed or 1, 10**7)
    assert len(table) <= few


def _convert(path):
    target = path.with_name("target.parquet")
    for bad in ("fail", "skip"):
        chosen = Selection(rate=1.0 if path.stem in WITHOUT_ARRIVALS else None)
        convert(path, target, format_name=path.stem, options=ReadOptions(on_bad_row=bad), selection=chosen)


def _made(folder):
    """Files of a run."""
    workload = blis.load_workload_spec(ROOT / "examples" / "workload-sessions.yaml")
    simulation = blis.prepare(LLAMA[1], dataclasses.replace(workload, num_requests=12))
    outcomes = simulation.run()
    simulation.write_trace(outcomes, folder / "trace")
    outcomes.write_parquet(folder / "outcomes.parquet")
    (folder / "results.json").write_text(json.dumps(_results(outcomes)))


def _results(outcomes):
    entry = {"requestID": "request_1", "arrived_at": 0.0, "num_prefill_tokens": 1, "num_decode_tokens": 2}
    entry |= dict.fromkeys(("ttft_ms", "e2e_ms", "itl_ms", "scheduling_delay_ms"), 1.0)
    return {**outcomes.summary, "requests": [entry, {**entry, "requestID": "request_2"}]}


def _examples(folder):
    for path in (ROOT / "examples").iterdir():
        if path.suffix in (".yaml", ".csv"):
            shutil.copy(path, folder / path.name)
    shutil.copytree(ROOT / "examples" / "servegen-data", folder / "servegen-data")
    shutil.copy(ROOT / "examples" / "policies.py", folder)
    for name, text in TINY.items():
        (folder / f"{name}{_suffix(text)}").write_text(text)


def _suffix(text):
    if text[0] not in "{[":
        return ".csv"
    return ".jsonl" if len(text.splitlines()) > 1 and text.splitlines()[0].endswith("}") else ".json"


def _tables(folder):
    numbers = np.arange(60)
    requests = {"arrival_us": numbers * 1000, "input_tokens": numbers + 20, "output_tokens": numbers + 1}
    columns = {name: pa.array(values) for name, values in requests.items()}
    columns |= {"slo_class": pa.array(["batch", "interactive"] * 30), "hash_ids": pa.array([[1, 2]] * 60)}
    columns |= {"hash_block_tokens": pa.array([16] * 60), "tenant_id": pa.array(["a", None] * 30)}
    pq.write_table(pa.table(columns), folder / "trace-in.parquet")
    steps = {"prefill_tokens": numbers * 10, "num_decodes": numbers, "duration_us": numbers * 100.0 + 5000}
    pl.DataFrame(steps).write_csv(folder / "steps.csv")
    pl.DataFrame(steps).write_parquet(folder / "steps.parquet")
    line = "Iteration({0}): 1 context requests, {0} context tokens, 2 generation requests, 2 generation tokens, "
    log = "".join(line.format(i + 1) + f"iteration elapsed time: {5 + i / 10} ms\n" for i in range(60))
    (folder / "steps.log").write_text(log)


def _configurations(folder):
    defaults = yaml.safe_load((ROOT / "defaults.yaml").read_text())
    few = {name: defaults["models"][name] for name in list(defaults["models"])[:1]}
    (folder / "defaults.yaml").write_text(yaml.safe_dump({**defaults, "models": few}, sort_keys=False))
    gpus = json.loads((ROOT / "hardware_config.json").read_text())
    (folder / "hardware.json").write_text(json.dumps(dict(list(gpus.items())[:1])))
    for model in FUZZED_MODELS:
        (folder / model).mkdir()
        shutil.copy(ROOT / "model_configs" / model / "config.json", folder / model)
    figures = {"completed_requests": 3, "ttft_mean_ms": 1.5, "verdict": None}
    run = {"settings": {"rate": 1}, "inputs": {"a": "b"}, "digest": "c", "figures": figures}
    (folder / "golden.json").write_text(json.dumps({"blis_version": "1", "runs": {"one": run}}))


def targets(folder):
    """All there is to break, by name; the files are in ``folder``."""
    for make in (_examples, _made, _tables, _configurations):
        make(folder)
    sweep = {"base": {"model": LLAMA[1], "num_requests": 20}, "grid": {"rate": [1, 2]}}
    blis.sweep(sweep, output=folder / "swept.parquet", jobs=1)
    trace = TraceV2(folder / "trace.yaml", folder / "trace.csv")
    specs = ("sessions", "closed-loop", "multimodal", "servegen")
    made = {f"spec {name}": Target(folder / f"workload-{name}.yaml", broken_yaml, _spec) for name in specs}
    servegen = folder / "servegen-data"

    def play(_):
        _spec(folder / "workload-servegen.yaml")

    made |= {
        "servegen trace": Target(servegen / "chunk-0-trace.csv", broken_csv, play),
        "servegen dataset": Target(servegen / "chunk-0-dataset.json", broken_json, play),
        "weights": Target(
            folder / "prompt-lengths.csv", broken_csv, lambda _: _spec(folder / "servegen-language.yaml")
        ),
        "policies": Target(folder / "policy-config.yaml", broken_yaml, blis.load_policies),
        "weighted policies": Target(folder / "weighted-routing.yaml", broken_yaml, blis.load_policies),
        "sweep": Target(folder / "sweep.yaml", broken_yaml, load_sweep),
        "plan": Target(folder / "plan.yaml", broken_yaml, load_plan),
        "bench": Target(folder / "bench.yaml", broken_yaml, load_bench),
        "golden": Target(folder / "golden.json", broken_json, read_golden),
        "defaults": Target(folder / "defaults.yaml", broken_yaml, load_defaults),
        "hardware": Target(folder / "hardware.json", broken_json, load_hardware),
        "TraceV2 header": Target(trace.header, broken_yaml, lambda _: load_tracev2(trace)),
        "TraceV2 data": Target(trace.data, broken_csv, lambda _: load_tracev2(trace)),
        "TraceV2 content": Target(folder / "trace.content.parquet", broken_parquet, lambda _: load_tracev2(trace)),
        "results": Target(folder / "results.json", broken_json, lambda path: side_of(path, "a")),
        "outcomes": Target(
            folder / "outcomes.parquet", broken_parquet, lambda path: Outcomes.read_parquet(path).summary
        ),
        "swept": Target(folder / "swept.parquet", broken_parquet, read_swept),
        "CSV trace": Target(folder / "token-csv.csv", broken_csv, load_csv_trace),
        "Parquet trace": Target(folder / "trace-in.parquet", broken_parquet, load_parquet_trace),
        "inspect": Target(folder / "trace-in.parquet", broken_parquet, inspect_trace),
        "step log": Target(folder / "steps.log", broken_bytes, read_step_log),
        "step CSV": Target(folder / "steps.csv", broken_csv, read_step_log),
        "step Parquet": Target(folder / "steps.parquet", broken_parquet, read_step_log),
    }
    for model in FUZZED_MODELS:
        made[f"config {model}"] = Target(
            folder / model / "config.json", broken_json, lambda path: read_model(path.parent)
        )
    breaks = {".csv": broken_csv, ".jsonl": broken_lines, ".json": broken_json}
    for path in sorted(folder.iterdir()):
        if path.stem in TINY:
            made[f"convert {path.stem}"] = Target(path, breaks[path.suffix], _convert)
    return made
