"""One client of a workload: when it sends, and what. Each purpose has a random stream of its own, named after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blis.workload.client_spec import ClientSpec, ClosedLoop, Media, OpenLoop
from blis.workload.lengths import Empirical, Floats, Lengths
from blis.workload.renewal import Phase, arrivals_us
from blis.workload.requests import MOST_US, Ints
from blis.workload.rng import stream


@dataclass(frozen=True)
class Mix:
    """What a client sends from some moment on.

    Attributes:
        start_us: the moment.
        text: text tokens of a prompt.
        output: output tokens.
        reason_percent: share of the output that is reasoning, in percent; None: not said.
    """

    start_us: int
    text: Lengths
    output: Lengths
    reason_percent: Lengths | Empirical | None


@dataclass(frozen=True)
class Client:
    """A client with rates of its own.

    Attributes:
        spec: what is the same all the time.
        phases: when it is there and how it sends; empty for closed loops.
        mixes: what it sends, the first from 0 on.
    """

    spec: ClientSpec
    phases: tuple[Phase, ...]
    mixes: tuple[Mix, ...]

    @property
    def rounds(self) -> int:
        """Requests per session, 1 if there are none."""
        return 1 if self.spec.multi_turn is None else self.spec.multi_turn.max_rounds

    def starts_us(self, seed: int, until_us: int) -> Ints:
        """Draw when its requests, or sessions, arrive before ``until_us``: (n,) ascending."""
        return arrivals_us(self.phases, until_us, self._stream(seed, "arrivals"))

    def turns(self, seed: int, starts_us: Ints) -> Turns:
        """Draw what its requests are like.

        Args:
            seed: of the workload.
            starts_us: (n,) arrivals of its requests or sessions.
        """
        shape = (len(starts_us), self.rounds)
        text, output = np.empty(shape, np.int64), np.empty(shape, np.int64)
        reason = np.zeros(shape)
        streams = {name: self._stream(seed, name) for name in ("text", "outputs", "reasoning")}
        mix_of = np.searchsorted([mix.start_us for mix in self.mixes], starts_us, side="right") - 1
        for i, mix in enumerate(self.mixes):
            sessions = np.flatnonzero(mix_of == i) if len(self.mixes) > 1 else slice(None)
            count = text[sessions].size
            text[sessions] = mix.text.draw(streams["text"], count).reshape(-1, self.rounds)
            output[sessions] = mix.output.draw(streams["outputs"], count).reshape(-1, self.rounds)
            if mix.reason_percent is not None:
                percent = mix.reason_percent.draw(streams["reasoning"], count)
                reason[sessions] = (percent / 100.0).reshape(-1, self.rounds)
        modality = self._modalities(seed, text)
        own = text if modality is None else np.maximum(modality.sum(axis=2), 1)
        return Turns(own, output, reason, modality, self._think_times(seed, shape))

    def _modalities(self, seed: int, text: Ints) -> Ints | None:
        if self.spec.media is None:
            return None
        tokens = np.zeros((*text.shape, 4), dtype=np.int64)
        tokens[:, :, 0] = text
        for column, media in enumerate(self.spec.media, start=1):
            if media is not None:
                rngs = (self._stream(seed, f"{what} {column}") for what in ("media counts", "media tokens"))
                tokens[:, :, column] = _media_tokens(media, text.size, *rngs).reshape(text.shape)
        return tokens

    def _think_times(self, seed: int, shape: tuple[int, int]) -> Ints:
        """Time each turn waits for after the one before: within its session or, for a first one, of the same user."""
        think = np.zeros(shape, dtype=np.int64)
        if isinstance(self.spec.load, ClosedLoop):
            think[:, 0] = self.spec.load.think_time_us.draw(self._stream(seed, "think times"), shape[0])
        if self.spec.multi_turn is not None:
            rng = self._stream(seed, "turn gaps")
            think[:, 1:] = self.spec.multi_turn.think_time_us.draw(rng, think[:, 1:].size).reshape(think[:, 1:].shape)
        return think

    def _stream(self, seed: int, purpose: str) -> np.random.Generator:
        return stream(seed, f"client {self.spec.id}: {purpose}")


@dataclass(frozen=True)
class Turns:
    """What the requests of a client are like, by session and turn, (n, rounds) each.

    Attributes:
        own_tokens: tokens that a prompt adds to shared prefix and context.
        output_tokens: tokens it gets.
        reason_ratio: share of them that is reasoning.
        modality_tokens: (n, rounds, 4) own tokens from text, images, audio, video; None: not said.
        think_us: time after the end of the turn before, whoever's that is.
    """

    own_tokens: Ints
    output_tokens: Ints
    reason_ratio: Floats
    modality_tokens: Ints | None
    think_us: Ints

    def input_tokens(self, prefix_tokens: int, accumulate: bool) -> Ints:
        """Prompt lengths (n, rounds), with shared prefix and, if they accumulate, all of the turns before."""
        if not accumulate:
            return prefix_tokens + self.own_tokens
        before = np.cumsum(self.own_tokens + self.output_tokens, axis=1)
        return prefix_tokens + before - self.output_tokens


def with_rate(spec: ClientSpec, rate_per_fraction: float) -> Client:
    """A client whose rate is its fraction times that of all, per second and fraction."""
    mix = Mix(0, spec.text, spec.output, spec.reason_percent)
    if isinstance(spec.load, ClosedLoop):
        return Client(spec, (), (mix,))
    return Client(spec, _phases(spec.load, spec.load.rate_fraction * rate_per_fraction), (mix,))


def _phases(load: OpenLoop, rate: float) -> tuple[Phase, ...]:
    bounds = [(window.start_us, window.end_us) for window in load.windows] or [(0, MOST_US)]
    return tuple(Phase(start, end, rate, load.process, load.cv) for start, end in bounds)


def _media_tokens(media: Media, count: int, counts: np.random.Generator, sizes: np.random.Generator) -> Ints:
    """Draw a number of things for each of ``count`` prompts, and add up the tokens of the things."""
    numbers = media.count.draw(counts, count)
    sums: Ints = np.concatenate(([0], np.cumsum(media.tokens.draw(sizes, int(numbers.sum())))))
    ends = np.cumsum(numbers)
    return np.asarray(sums[ends] - sums[ends - numbers])
