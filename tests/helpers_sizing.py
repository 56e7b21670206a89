"""Deployments and points for tests of capacities."""

import math

from blis import Deployment, DistributionWorkload, EngineOptions
from blis.outcomes.statistics.stability import Stability
from blis.studies.capacity.measuring import ALWAYS, Sample
from blis.studies.capacity.objectives import Slos
from blis.studies.capacity.points import Effort, Point

#: One request at a time, 10 ms each: M/D/1.
SERVICE_S = 0.01
SINGLE = Deployment("m", alpha_coeffs=(0, 0, 0), beta_coeffs=(10_000, 0, 0), total_kv_blocks=100_000)
ONE_SEAT = EngineOptions(max_num_running_reqs=1)
ONE_TOKEN = DistributionWorkload(
    prompt_tokens=10, prompt_tokens_stdev=0, output_tokens=1, output_tokens_stdev=0, output_tokens_min=1
)
#: Round coefficients: 1 ms per step, 10 µs per prompt token, 50 µs per decode; 20 requests at a time.
BATCHING = Deployment("m", alpha_coeffs=(100, 1, 10), beta_coeffs=(1000, 10, 50), total_kv_blocks=20_000)


def fake_point(slos: Slos, strain_of, rate, effort=None, num_instances=1, stable=True, noise=0.0) -> Point:
    """A point whose figures use so much of their limits; replications differ by ``noise``, relatively."""
    effort = effort or Effort(1000, 4)
    samples = []
    for replication in range(effort.replications):
        sign = (-1) ** replication * noise / math.sqrt(effort.num_requests)
        values = dict.fromkeys(ALWAYS, 1000.0)
        values |= {name: slos.limit(name) * strain_of(rate) * (1 + sign) for name in slos.names}
        backlog = Stability(stable, 0.0, 0.0, 1.0, rate, (0.0, 1.0))
        samples.append(Sample(values, backlog, 100 * rate, 0))
    return Point(rate, num_instances, effort, tuple(samples), slos)
