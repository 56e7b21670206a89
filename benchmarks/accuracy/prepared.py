"""Points whose requests are drawn once and simulated again and again, with other constants of the law."""

from dataclasses import replace
from functools import cache

from accuracy.constants import applied
from accuracy.running import Answer, answer_of, prepared, quiet
from accuracy.scores import rows_of
from accuracy.servers import deployment_of, inexpressible
from blis.config.resolve import look_up
from blis.errors import BlisError
from blis.workload.content import shared_blocks


class PreparedPoints:
    """The points that can be run, with their requests, engines and policies; memory is planned as it is shipped.

    Args:
        points: whichever are of interest; those that cannot be run, or are in doubt, are left out.
    """

    def __init__(self, points):
        self._simulations = {}
        with quiet():
            for point in points:
                if point.doubt is None and inexpressible(point) is None:
                    try:
                        self._simulations[point] = _with_blocks(prepared(point))
                    except BlisError:
                        continue

    @property
    def points(self):
        """Those that run."""
        return list(self._simulations)

    def rows(self, settings):
        """Errors of all points (`accuracy.scores.Row`) where settings hold (`accuracy.constants.applied`)."""
        with applied(settings) as hardware_config, quiet():
            law = cache(lambda deployment: look_up(deployment).latency)
            answers = [self._answer(point, law(deployment_of(point, hardware_config))) for point in self._simulations]
        return rows_of(self.points, answers)

    def _answer(self, point, latency):
        simulation = self._simulations[point]
        resolved = replace(simulation.resolved, latency=latency)
        try:
            return answer_of(point.id, replace(simulation, resolved=resolved).run())
        except BlisError as error:
            return Answer(point.id, str(error))


def _with_blocks(simulation):
    engine = simulation.resolved.engine
    blocks = shared_blocks(simulation.table, engine.block_size_tokens, enable=engine.enable_prefix_caching)
    return replace(simulation, blocks=blocks)
