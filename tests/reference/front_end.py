"""The API server in front of an instance: everybody inside is served at the same time, each with an even share."""

from __future__ import annotations

#: Service is counted in parts of a µs, in whole numbers.
PARTS = 2**20


class FrontEnd:
    """Who is inside, with how much of each one's time is missing."""

    def __init__(self, intake_us: int) -> None:
        self.intake_us = intake_us
        self.missing: dict[int, int] = {}
        self.now_us = 0

    def pass_time(self, now_us: int) -> None:
        for who in self.missing:
            self.missing[who] -= (now_us - self.now_us) * PARTS // len(self.missing)
        self.now_us = now_us

    def enter(self, who: int, now_us: int) -> None:
        self.pass_time(now_us)
        self.missing[who] = self.intake_us * PARTS

    def first(self) -> tuple[int, int]:
        """Who will leave first, and when if nobody else enters."""
        who = min(self.missing, key=self.missing.__getitem__)
        parts = max(0, self.missing[who]) * len(self.missing)
        return self.now_us + -(-parts // PARTS), who

    def leave(self, who: int, now_us: int) -> bool:
        if self.first()[0] > now_us:
            return False
        self.pass_time(now_us)
        del self.missing[who]
        return True
