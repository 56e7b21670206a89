"""Runs the cases of `track.py` in one tree, on request: what each costs and what it does.

A process of its own for the tree that stands first on PYTHONPATH, which may be older than this file. So whatever is
imported of `blis` is imported by the case that needs it, and few names are. Requests are lines of JSON on stdin,
``[question, case]``; each is answered by a line on stdout, and a case that this tree cannot run by its error.
"""

import ast
import dataclasses
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

MODEL = "meta-llama/llama-3.1-8b-instruct"
SEED = 42
#: So many short runs are counted, and so many timed at once.
SMALL_RUNS, SMALL_RUNS_TIMED = 100, 20
#: The noise of a machine comes and goes within a second. So base and change take turns more often than that: many
#: rounds of some 30 ms, and fewer of what takes longer.
ROUNDS, ROUNDS_OF_PROCESSES = 40, 12
#: Requests of a case when it runs as plain Python, to count what the compiled engine does without telling.
PLAIN_REQUESTS = 200


def independent(rate, num_requests):
    import blis

    return blis.DistributionWorkload(rate=rate, num_requests=num_requests).requests(SEED)


def prefix_groups(rate, num_requests, groups=100, prefix_tokens=300):
    """Prompts that begin with one of so many prefixes."""
    from blis import RequestTable, TokenStreams

    table = independent(rate, num_requests)
    group = np.random.default_rng(SEED).integers(0, groups, num_requests)
    parent = np.concatenate([np.full(groups, -1), group])
    fork_tokens = np.concatenate([np.zeros(groups, np.int64), np.full(num_requests, prefix_tokens)])
    content = TokenStreams(groups + np.arange(num_requests), parent, fork_tokens)
    return RequestTable(table.arrival_us, prefix_tokens + table.input_tokens, table.output_tokens, content)


def closed_sessions(rate, num_requests, turns=10, think_us=30_000_000):
    """Conversations; a turn has all that was said before in its prompt and is sent 30 s after the last answer."""
    from blis import RequestTable, TokenStreams
    from blis.workload.requests import Sessions

    count = num_requests // turns
    rng = np.random.default_rng(SEED)
    new, output = (rng.integers(50, 250, (count, turns)) for _ in range(2))
    prompt = np.cumsum(new + output, axis=1) - output
    arrival_us = np.sort(rng.uniform(0, num_requests / rate * 1e6, count)).astype(np.int64)
    content = TokenStreams(np.repeat(np.arange(count), turns), np.full(count, -1), np.zeros(count, np.int64))
    rows = np.arange(num_requests)
    opens = rows % turns == 0
    sessions = Sessions(rows // turns, rows % turns, np.where(opens, -1, rows - 1), np.where(opens, 0, think_us))
    return RequestTable(np.repeat(arrival_us, turns), prompt.ravel(), output.ravel(), content, sessions=sessions)


@dataclasses.dataclass(frozen=True)
class EngineCase:
    """The engine alone; ``table`` is a function of rate and number of requests."""

    table: object
    rate: float
    num_requests: int
    kv_blocks: int = 60_000
    plain_kv_blocks: int | None = None
    num_instances: int = 1
    routing_policy: str = "round-robin"
    rounds: int = ROUNDS

    def simulation(self, *, plain=False):
        import blis

        kv_blocks = (plain and self.plain_kv_blocks) or self.kv_blocks
        return blis.prepare(
            blis.Deployment(MODEL, total_kv_blocks=kv_blocks),
            self.table(self.rate, PLAIN_REQUESTS if plain else self.num_requests),
            cluster=blis.ClusterOptions(num_instances=self.num_instances, routing_policy=self.routing_policy),
        )

    def cpu_s(self):
        """From the first step to the last."""
        from blis.simulation import Run

        ready = prepared(self)
        run = Run(ready.table, ready.resolved.engine, ready.resolved.latency, ready.control, ready.horizon_us)
        run.load()
        began = time.process_time()
        run.advance()
        return time.process_time() - began

    def counters(self):
        """What came out, and what it takes as a file."""
        outcomes = dataclasses.replace(prepared(self).run(), metadata={})
        result, summary = outcomes.result, outcomes.summary
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "outcomes.parquet"
            outcomes.write_parquet(path)
            parquet_bytes = path.stat().st_size
        return {
            "completed_requests": summary["completed_requests"],
            "steps": result.num_steps,
            "preemptions": int(result.num_preemptions.sum()),
            "cached_tokens": int(result.cached_tokens.sum()),
            "output_tokens": int(result.produced_tokens.sum()),
            "kv_blocks_peak": summary["kv_blocks_peak"],
            "outcomes_digest": digest(result),
            "parquet_bytes": parquet_bytes,
        }

    def operations(self):
        """How often the engine does what it keeps no count of: events, calls of the KV cache, blocks taken there."""
        ready = self.simulation(plain=True)
        counts = {"events": 0, "block_operations": 0, "blocks_taken": 0}

        def note(frame, event, _):
            if event != "call":
                return
            code = frame.f_code
            if code.co_name == "happen":
                counts["events"] += 1
            elif code.co_filename.endswith("block_pool.py"):
                counts["block_operations"] += 1
                if code.co_name == "take":
                    counts["blocks_taken"] += int(frame.f_locals["count"])

        sys.setprofile(note)
        try:
            ready.run()
        finally:
            sys.setprofile(None)
        return counts


@cache
def prepared(case):
    return case.simulation()


class SmallRuns:
    """Many short runs with their figures: what surrounds the engine."""

    rounds = ROUNDS

    def _runs(self, count):
        import blis

        for seed in range(count):
            workload = blis.DistributionWorkload(rate=5 + seed % 25, num_requests=1_000)
            outcomes = blis.simulate(MODEL, workload, seed=seed)
            yield outcomes.summary, outcomes.steady_state.verdict

    def cpu_s(self):
        began = time.process_time()
        for _ in self._runs(SMALL_RUNS_TIMED):
            pass
        return time.process_time() - began

    def counters(self):
        runs = list(self._runs(SMALL_RUNS))
        text = json.dumps(runs)
        return {
            "completed_requests": sum(summary["completed_requests"] for summary, _ in runs),
            "figures_digest": hashlib.sha256(text.encode()).hexdigest()[:16],
        }


class Process:
    """A whole ``blis run`` of 100 requests, from the start of the process to its end."""

    rounds = ROUNDS_OF_PROCESSES

    def _run(self):
        command = [sys.executable, "-m", "blis", "run", "--model", MODEL]
        return subprocess.run(command, capture_output=True, check=True).stdout

    def cpu_s(self):
        before = self._used_s()
        self._run()
        return self._used_s() - before

    def _used_s(self):
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def counters(self):
        printed = self._run()
        return {"stdout_bytes": len(printed), "stdout_digest": hashlib.sha256(printed).hexdigest()[:16]}


class Code:
    """What numba gets to compile; statements, so that comments and line breaks change nothing."""

    def counters(self):
        import blis

        kernels = [
            function
            for path in sorted(Path(blis.__file__).parent.rglob("*.py"))
            for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(function, ast.FunctionDef) and any(map(_compiles, function.decorator_list))
        ]
        statements = [node for kernel in kernels for node in ast.walk(kernel) if isinstance(node, ast.stmt)]
        return {"kernels": len(kernels), "kernel_statements": sum(map(_is_code, statements))}


class Yardstick:
    """Work that is the same in every tree: how fast the machine is just now."""

    rounds = ROUNDS

    def cpu_s(self):
        rng = np.random.default_rng(SEED)
        order, values = rng.permutation(2**18), np.arange(2**18)
        began = time.process_time()
        for _ in range(40):
            values = np.cumsum(values[order])
        return time.process_time() - began


def _compiles(decorator):
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(function, ast.Name) and function.id in ("kernel", "njit")


def _is_code(statement):
    is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return not is_docstring and not isinstance(statement, ast.FunctionDef)


def digest(result):
    """Of every field of a result, by its name."""
    hashed = hashlib.sha256()

    def add(name, value):
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                add(f"{name}.{field.name}", getattr(value, field.name))
        else:
            data = value.astype("<i8").tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            hashed.update(name.encode() + data)

    add("", result)
    return hashed.hexdigest()[:16]


CASES = {
    "bulk": EngineCase(independent, 20, 50_000),
    "tight": EngineCase(independent, 11, 25_000, kv_blocks=2_537, plain_kv_blocks=300),
    "prefix": EngineCase(prefix_groups, 20, 25_000, kv_blocks=9_000, plain_kv_blocks=2_000),
    "sessions": EngineCase(closed_sessions, 20, 10_000),
    "cluster": EngineCase(independent, 320, 25_000, num_instances=16, routing_policy="weighted"),
    "small_runs": SmallRuns(),
    "process": Process(),
    "code": Code(),
    "yardstick": Yardstick(),
}


def answer(question, case):
    """What a tree has to say; where it cannot, why."""
    try:
        asked = getattr(CASES[case], question)
        import blis  # behind the first access, so that a broken tree is told, too

        return {"tree": str(Path(blis.__file__).parents[1]), "value": asked()}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}


if __name__ == "__main__":
    replies, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        replies.write(json.dumps(answer(*json.loads(line))) + "\n")
        replies.flush()
