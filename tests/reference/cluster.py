"""The clock of a cluster: one heap of events, popped one by one, until all is done or the horizon comes."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence
from enum import IntEnum

from .block_pool import ContentKeys
from .engine import NO_HORIZON_US
from .front_end import FrontEnd
from .instance import Instance, StallError, output_limit, queueing_us, refusal
from .records import (
    RefAdmission,
    RefClusterConfig,
    RefClusterResult,
    RefInstanceResult,
    RefOutcome,
    RefRequest,
    RefRouting,
)
from .router import Router
from .scheduler import RequestState


class Kind(IntEnum):
    """Classes of events, in the order in which they happen at one time."""

    ARRIVAL = 0
    ADMISSION = 1
    ROUTING = 2
    ENQUEUE = 3
    STEP = 4


def simulate_cluster(requests: Sequence[RefRequest], config: RefClusterConfig) -> RefClusterResult:
    """Run a cluster until all is done or the horizon comes.

    Of events of one class at one time, those of requests happen in the order of the input, steps in the order
    of instances. The end of a step and the start of the next are one event.

    What the horizon means: an event later than it does not happen. A step that ends later has scheduled, but
    gives no tokens and finishes nobody.

    Raises:
        StallError: nothing can move any more.
    """
    return _ClusterRun(requests, config).run()


class _ClusterRun:
    """State of one run: the events to come, the instances, what was decided so far."""

    def __init__(self, requests: Sequence[RefRequest], config: RefClusterConfig) -> None:
        self.requests = list(requests)
        self.config = config
        self.horizon = NO_HORIZON_US if config.instance.horizon_us is None else config.instance.horizon_us
        content_keys = ContentKeys()
        self.instances = [Instance(config.instance, content_keys) for _ in range(config.num_instances)]
        self.front_ends = [FrontEnd(config.instance.intake_us) for _ in range(config.num_instances)]
        self.router = Router(config, self.instances, content_keys)
        self.now = 0
        self.sequence: dict[int, int] = {}  # in which order requests arrived
        self.woken: set[int] = set()  # idle instances whose step event is on the heap
        self.admissions: list[RefAdmission] = []
        self.routings: list[RefRouting] = []
        self.outcomes = {request.id: RefOutcome(status="not_arrived") for request in requests}
        #: (time, kind, position of the request in the input, or index of the instance for a step)
        self.events: list[tuple[int, Kind, int]] = []

    def run(self) -> RefClusterResult:
        for position, request in enumerate(self.requests):
            if request.after < 0:
                self._push(request.arrival_us, Kind.ARRIVAL, position)
        happen = {
            Kind.ARRIVAL: self._arrive,
            Kind.ADMISSION: self._admit,
            Kind.ROUTING: self._route,
            Kind.ENQUEUE: self._pass_front_end if self.config.instance.intake_us else self._enqueue,
            Kind.STEP: self._step,
        }
        while self.events and self.events[0][0] <= self.horizon:
            self.now, kind, subject = heapq.heappop(self.events)
            happen[kind](subject)
        if not self.events and any(instance.has_work for instance in self.instances):
            raise StallError(f"at {self.now} µs nothing can be scheduled")
        return self._result()

    def _push(self, time_us: int, kind: Kind, subject: int) -> None:
        heapq.heappush(self.events, (time_us, kind, subject))

    def _arrive(self, position: int) -> None:
        """Take in or refuse a request."""
        if self.requests[position].after >= 0:  # from now on it is one like all others
            self.requests[position] = dataclasses.replace(self.requests[position], arrival_us=self.now)
        request = self.requests[position]
        reason = refusal(request, self.config.instance)
        self.outcomes[request.id].status = reason or "waiting"
        self.outcomes[request.id].arrival_us = self.now
        self.sequence[position] = len(self.sequence)
        if not reason:
            self._push(self.now + self.config.admission_latency_us, Kind.ADMISSION, position)
        else:
            self._release(position, failed=True)

    def _release(self, position: int, *, failed: bool) -> None:
        """A request is over: whoever waits for it will arrive."""
        for follower, request in enumerate(self.requests):
            if request.after == position:
                if failed and not request.begins:
                    self.outcomes[request.id].status = "not_sent"
                    self._release(follower, failed=True)
                    return
                gap_us = max(request.think_us, 1)
                if not failed:  # the client reads all tokens first
                    cost_us = int(self.config.instance.alpha[2])
                    gap_us += cost_us * output_limit(self.requests[position], self.config.instance)
                self._push(self.now + gap_us, Kind.ARRIVAL, follower)

    def _admit(self, position: int) -> None:
        request = self.requests[position]
        decision = self.router.admit(request, self.now)
        self.admissions.append(decision)
        if decision.admitted:
            self._push(self.now + self.config.routing_latency_us, Kind.ROUTING, position)
        else:
            self.outcomes[request.id].status = "rejected"
            self._release(position, failed=True)

    def _route(self, position: int) -> None:
        request = self.requests[position]
        decision = self.router.route(request, self.now)
        self.routings.append(decision)
        self.outcomes[request.id].instance = decision.target
        self._push(self.now + queueing_us(request, self.config.instance), Kind.ENQUEUE, position)

    def _pass_front_end(self, position: int) -> None:
        """A request comes to the API server, or may be through with it."""
        front_end = self.front_ends[self.outcomes[self.requests[position].id].instance]
        if position not in front_end.missing:
            front_end.enter(position, self.now)
            if len(front_end.missing) > 1:  # the event of the first one is on the heap
                return
        elif front_end.leave(position, self.now):
            self._enqueue(position)
        if front_end.missing:
            due_us, first = front_end.first()
            self._push(due_us, Kind.ENQUEUE, first)

    def _enqueue(self, position: int) -> None:
        """A request becomes visible to its instance, and wakes it if it is idle."""
        request = self.requests[position]
        outcome = self.outcomes[request.id]
        limit = output_limit(request, self.config.instance)
        state = RequestState(request, limit, outcome, list(request.prompt), sequence=self.sequence[position])
        index = outcome.instance
        self.router.pending[index] -= 1
        self.instances[index].add(state, self.now)
        self._push_step(index)

    def _push_step(self, index: int) -> None:
        """Come back to an instance when it plans or settles, once."""
        if self.instances[index].next_us is not None and index not in self.woken:
            self.woken.add(index)
            self._push(self.instances[index].next_us, Kind.STEP, index)

    def _step(self, index: int) -> None:
        """Let an instance do all that it does at this moment."""
        instance = self.instances[index]
        self.woken.discard(index)
        position = {request.id: i for i, request in enumerate(self.requests)}
        while instance.next_us == self.now:
            for name in instance.go_on():
                self._release(position[name], failed=False)
        self._push_step(index)

    def _result(self) -> RefClusterResult:
        """Close the books: who is still running, when the run ended."""
        for instance in self.instances:
            instance.close()
        steps = [step for instance in self.instances for step in instance.steps]
        last_end_us = max((step.seen for step in steps if step.sched and step.seen is not None), default=0)
        return RefClusterResult(
            admissions=self.admissions,
            routings=self.routings,
            requests=self.outcomes,
            end_us=self.horizon if self.events else last_end_us,
            instances=[
                RefInstanceResult(
                    steps=instance.steps,
                    min_free_blocks=instance.min_free_blocks,
                    queue_length_sum=sum(
                        step.left_waiting for step in instance.steps if step.sched and step.seen is not None
                    ),
                )
                for instance in self.instances
            ],
        )
