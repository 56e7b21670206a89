"""Robust least squares on spans: relative errors, coefficients within bounds, intervals that know of shared noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.measurement.fit.laws import ALPHA, Coefficient
from blis.measurement.fit.spans import Spans, predicted_us

Floats = NDArray[np.float64]

#: Huber's tuning constant: 95 % efficiency under normal noise (Huber, Robust Statistics, 1981).
_HUBER = 1.345
#: That of times to first tokens. A request that comes a little later may have to wait for one step more: then what is
#: to be learnt is in few large errors, and only those far beyond are outliers.
_HUBER_PROMPT = 5.0
#: Standard deviation of normal noise by its median absolute deviation.
_SIGMA_BY_MAD = 1.4826
#: Errors of the first search that count in full.
_FIRST_SIGMA = 0.05
_LEAST_SIGMA = 1e-6
#: Times that the noise is estimated and the search repeated.
_REWEIGHTINGS = 3
#: Step of numerical derivatives in units of a coefficient's scale: the law answers in whole ns, so not smaller.
_DERIVATIVE_STEP = 0.02
#: Stretches of the measurement over which noise is added up; fewer if there are fewer spans.
GROUPS = 20
#: Of directions in which nothing changes, numerically.
_SINGULAR = 1e-10
#: Distance from its bounds at which a search may begin, in units of a coefficient's scale.
_OFF_BOUND = 1e-3


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the relative errors of measured times, outliers apart.

    Attributes:
        decode: from first to last token, or of single steps.
        prompt: to the first token: mostly by the step that was in flight when a request came.
    """

    decode: float
    prompt: float


@dataclass(frozen=True)
class Precision:
    """How well f free coefficients are known.

    Attributes:
        covariance: (f, f).
        freedom: degrees of freedom that it was estimated with.
        effects: (f,) mean change of a measured time, as a share of it, by one unit of each.
        inflation: (f,) by what factor its variance is larger because others have nearly the same effect (VIF).
    """

    covariance: Floats
    freedom: int
    effects: Floats
    inflation: Floats


@dataclass(frozen=True)
class Problem:
    """What is to be found.

    Attributes:
        all: the coefficients, `ALPHA` first, then those of the law.
        free: positions of those that are not held at where they start.
    """

    all: tuple[Coefficient, ...]
    free: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """Names of the free ones."""
        return [self.all[i].name for i in self.free]

    @property
    def start(self) -> Floats:
        """All values to begin with."""
        return np.array([one.start for one in self.all])

    def column(self, attribute: str) -> Floats:
        """One attribute of all free coefficients."""
        return np.array([getattr(self.all[i], attribute) for i in self.free], dtype=np.float64)


class Regression:
    """One linear or nonlinear regression of measured spans on their steps.

    Args:
        problem: what is to be found.
        parts: the spans of one or several traces.
    """

    def __init__(self, problem: Problem, parts: Sequence[Spans]) -> None:
        self._parts = parts
        self._free = list(problem.free)
        self._scale, least, most = (problem.column(name) for name in ("scale", "least", "most"))
        self._bounds = least / self._scale, most / self._scale
        self._measured = np.concatenate([part.measured_us for part in parts])
        self._total = np.concatenate([part.total_us for part in parts])
        self._is_prompt = np.concatenate([part.delays.any(axis=1) for part in parts])
        self._limits = np.where(self._is_prompt, _HUBER_PROMPT, _HUBER)
        self._place = np.concatenate([part.place for part in parts])
        self._fixed = problem.start

    def __len__(self) -> int:
        return len(self._measured)

    def solve(self, values: Floats) -> tuple[Floats, Noise]:
        """All coefficients, found from those given, and the noise they leave."""
        self._fixed = values.copy()
        point, noise = values[self._free] / self._scale, Noise(_FIRST_SIGMA, _FIRST_SIGMA)
        for _ in range(_REWEIGHTINGS):
            point = self._search(point, self._deviations(noise))
            errors = self._errors(point)
            noise = Noise(_by_median(errors[~self._is_prompt]), _root_mean_square(errors[self._is_prompt]))
        return self._filled_in(point), noise

    def precision(self, values: Floats, noise: Noise) -> Precision:
        """How well the free coefficients are known near a solution."""
        self._fixed = values.copy()
        point = values[self._free] / self._scale
        jacobian, deviations = self._jacobian(point), self._deviations(noise)
        weighted = jacobian / deviations[:, np.newaxis]
        groups = max(2, min(GROUPS, len(self) // 2))
        return Precision(
            covariance=self._covariance(weighted, self._errors(point) / deviations, groups),
            freedom=groups - 1,
            effects=np.abs(jacobian).mean(axis=0) / self._scale,
            inflation=_inflation(weighted),
        )

    def _covariance(self, jacobian: Floats, errors: Floats, groups: int) -> Floats:
        """Covariance of the free coefficients; derivatives and errors in units of the latters' deviations.

        Requests that were served side by side share the noise of their steps; the usual formula, which takes them as
        independent, gives intervals that are too small. So the noise is added up over stretches of the measurement
        first (Liang and Zeger, Biometrika 73, 1986, with Huber's weights).
        """
        inner = np.abs(errors) < self._limits
        ranks = np.argsort(np.argsort(self._place, kind="stable"), kind="stable")
        scores = np.zeros((groups, len(self._free)))
        np.add.at(
            scores, ranks * groups // len(self), jacobian * np.clip(errors, -self._limits, self._limits)[:, np.newaxis]
        )
        scores -= scores.mean(axis=0)
        bread = np.linalg.pinv(jacobian[inner].T @ jacobian[inner], rcond=_SINGULAR, hermitian=True)
        half = scores @ bread * self._scale * jacobian.any(axis=0)
        covariance: Floats = groups / (groups - 1) * half.T @ half
        return covariance

    def _deviations(self, noise: Noise) -> Floats:
        """(k,) what is expected of each relative error."""
        return np.where(self._is_prompt, noise.prompt, noise.decode)

    def _search(self, point: Floats, deviations: Floats) -> Floats:
        from scipy.optimize import least_squares

        def errors(point: Floats) -> Floats:
            return self._errors(point) / deviations

        def jacobian(point: Floats) -> Floats:
            return self._jacobian(point) / deviations[:, np.newaxis]

        least, most = self._bounds
        found = least_squares(
            errors,
            np.clip(point, least + _OFF_BOUND, most - _OFF_BOUND),
            jacobian,
            bounds=self._bounds,
            loss=self._huber,  # type: ignore[arg-type]  # the stubs know the older protocol only
        )
        idle = ~np.asarray(found.jac).any(axis=0)  # they wander off
        return np.where(idle, point, found.x)

    def _huber(self, squares: Floats) -> Floats:
        """(3, k) Huber's loss of squared errors in units of their deviations, and its derivatives."""
        limits, inner = self._limits**2, squares <= self._limits**2
        outer = np.sqrt(limits / np.where(inner, limits, squares))
        loss = np.where(inner, squares, (2 / outer - 1) * limits)
        second = np.where(inner, 0.0, -0.5 * outer / np.where(inner, 1.0, squares))
        return np.stack((loss, np.where(inner, 1.0, outer), second))

    def _errors(self, point: Floats) -> Floats:
        values = self._filled_in(point)
        predicted = predicted_us(self._parts, values[: len(ALPHA)], values[len(ALPHA) :])
        errors: Floats = (predicted - self._measured) / self._total
        return errors

    def _jacobian(self, point: Floats) -> Floats:
        columns = []
        least, most = self._bounds
        for i in range(len(point)):
            lower, upper = point.copy(), point.copy()
            lower[i] = max(point[i] - _DERIVATIVE_STEP, least[i])
            upper[i] = min(point[i] + _DERIVATIVE_STEP, most[i])
            difference = self._errors(upper) - self._errors(lower)
            columns.append(difference / (upper[i] - lower[i]))
        return np.column_stack(columns)

    def _filled_in(self, point: Floats) -> Floats:
        values = self._fixed.copy()
        values[self._free] = point * self._scale
        return values


def _inflation(jacobian: Floats) -> Floats:
    """(f,) see `Precision`."""
    lengths = np.linalg.norm(jacobian, axis=0)
    alike = jacobian / np.where(lengths > 0, lengths, 1.0)
    strength, directions = np.linalg.eigh(alike.T @ alike)
    inflation: Floats = (directions**2 / np.maximum(strength, _SINGULAR)).sum(axis=1)
    return inflation


def _by_median(errors: Floats) -> float:
    if not len(errors):
        return _FIRST_SIGMA
    return max(_SIGMA_BY_MAD * float(np.median(np.abs(errors))), _LEAST_SIGMA)


def _root_mean_square(errors: Floats) -> float:
    """Without the largest hundredth."""
    if not len(errors):
        return _FIRST_SIGMA
    sizes = np.abs(errors)
    return max(float(np.sqrt(np.mean(sizes[sizes <= np.quantile(sizes, 0.99)] ** 2))), _LEAST_SIGMA)
