"""Dumps of a server's metrics, written by the library that vLLM writes them with."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 20.0)
TOKENS = (1, 10, 50, 100, 200, 500, 1000)


class Server:
    """What counts requests as vLLM does, in as many engines as there are."""

    def __init__(self, engines=1, model="m", tokens=TOKENS):
        self.registry = CollectorRegistry()
        self.engines = [str(engine) for engine in range(engines)]
        self.model = model
        names = ("model_name", "engine")
        self.counters = {
            name: Counter(f"vllm:{name}", name, names, registry=self.registry)
            for name in ("prompt_tokens", "generation_tokens", "num_preemptions")
        } | {
            name: Counter(f"vllm:{name}", name, names, registry=self.registry)
            for name in ("prefix_cache_queries", "prefix_cache_hits")
        }
        self.success = Counter("vllm:request_success", "r", (*names, "finished_reason"), registry=self.registry)
        self.gauges = {
            name: Gauge(f"vllm:{name}", name, names, registry=self.registry)
            for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
        }
        buckets = dict.fromkeys(("time_to_first_token_seconds", "e2e_request_latency_seconds"), SECONDS)
        buckets |= dict.fromkeys(("request_prompt_tokens", "request_generation_tokens"), tokens)
        self.histograms = {
            name: Histogram(f"vllm:{name}", name, names, registry=self.registry, buckets=bounds)
            for name, bounds in buckets.items()
        }

    def serve(self, ttft_s, e2e_s, prompt=100, output=20, engine=0):
        """Count a request, a tenth of whose prompt was in the cache."""
        labels = (self.model, self.engines[engine])
        for name, value in (
            ("prompt_tokens", prompt),
            ("generation_tokens", output),
            ("prefix_cache_queries", prompt),
            ("prefix_cache_hits", prompt / 10),
            ("num_preemptions", 1),
        ):
            self.counters[name].labels(*labels).inc(value)
        self.success.labels(*labels, "length").inc()
        for name, value in zip(self.histograms, (ttft_s, e2e_s, prompt, output), strict=True):
            self.histograms[name].labels(*labels).observe(value)
        self.gauges["kv_cache_usage_perc"].labels(*labels).set(0.25)

    def write(self, path):
        path.write_bytes(generate_latest(self.registry))
        return path
