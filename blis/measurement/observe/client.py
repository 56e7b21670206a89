"""One request to the server, and whatever comes of it: never an exception."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import numpy as np

from blis.measurement.observe.answer import Answer
from blis.measurement.observe.clock import Clock
from blis.measurement.observe.conversations import Messages
from blis.measurement.observe.options import ObserveOptions
from blis.measurement.observe.sample import Sample
from blis.measurement.observe.secrets import Secret
from blis.workload.traces.tracev2.records import ERROR, TIMEOUT

#: vLLM closes connections that nobody used for 5 s; a request sent just then would fail for no fault of the server.
_KEEP_IDLE_S = 2.0
#: How long the end of a stream may take after its last event before its connection is given up.
_END_OF_STREAM_S = 0.1
_MOST_ERROR_BYTES = 65536
_MOST_ERROR_CHARACTERS = 300


class Client:
    """Sends requests in one way to one server."""

    def __init__(self, options: ObserveOptions, clock: Clock, http: aiohttp.ClientSession) -> None:
        self._options, self._clock, self._http = options, clock, http
        self._key = Secret(options.api_key or "")

    def body(self, messages: Messages, output_tokens: int) -> bytes:
        """The JSON of a request.

        Args:
            messages: user and server in turn.
            output_tokens: wanted; at least one is asked for, since servers refuse none.
        """
        options = self._options
        said: dict[str, object] = {"model": options.model}
        if options.api_format == "chat":
            roles = ("user", "assistant")
            said["messages"] = [{"role": roles[i % 2], "content": text} for i, text in enumerate(messages)]
        else:
            said["prompt"] = "".join(messages)
        said |= {"max_tokens": max(output_tokens, 1), "temperature": 0, "stream": options.streaming}
        if options.streaming:
            said["stream_options"] = {"include_usage": True}
        if options.ignore_eos:
            said["ignore_eos"] = True
        return json.dumps(said, ensure_ascii=False).encode()

    async def send(self, sample: Sample, body: bytes) -> str:
        """Send a request and note what happens; a cancelled one is noted as interrupted.

        Returns:
            What the server said.
        """
        answer = Answer()
        stage = "HTTP error"
        sample.send_us = self._clock.now_us()
        try:
            async with asyncio.timeout(self._options.timeout_s):
                async with self._http.post(self._options.endpoint, data=body, allow_redirects=False) as response:
                    stage = "read error"
                    await self._read(response, answer)
        except asyncio.CancelledError:
            self._fail(sample, "interrupted")
        except TimeoutError:
            self._fail(sample, f"timeout: no complete answer within {self._options.timeout_s:g} s", TIMEOUT)
        except Exception as error:  # none may end the measurement
            self._fail(sample, f"{stage}: {error or type(error).__name__}")
        else:
            if answer.refusal is not None:
                self._fail(sample, answer.refusal)
        sample.chunk_us = np.array(answer.chunk_us, dtype=np.int64)
        sample.input_tokens, sample.output_tokens = answer.input_tokens, answer.output_tokens
        sample.num_unreadable = answer.num_unreadable
        return "".join(answer.text)

    def _fail(self, sample: Sample, problem: str, status: int = ERROR) -> None:
        sample.status = status
        problem = self._key.masked(problem)
        # a body is cut somewhere, perhaps within the key; its first half, where no key can be cut, is plenty
        problem = " ".join(problem[: _MOST_ERROR_BYTES // 2].split())
        if len(problem) > _MOST_ERROR_CHARACTERS:
            problem = problem[: _MOST_ERROR_CHARACTERS - 1] + "…"
        sample.error = problem

    async def _read(self, response: aiohttp.ClientResponse, answer: Answer) -> None:
        if response.status != 200:
            answer.refusal = f"HTTP {response.status}: {await _beginning(response)}"
        elif not self._options.streaming:
            body = await response.read()
            now_us = self._clock.now_us()
            try:
                answer.take_whole(body, now_us)
            except ValueError as error:
                answer.refusal = f"JSON parse error: {error}"
            else:
                if answer.refusal is not None:
                    answer.refusal = f"no answer: {answer.refusal}"
        else:
            await self._read_stream(response, answer)

    async def _read_stream(self, response: aiohttp.ClientResponse, answer: Answer) -> None:
        pending = b""
        async for data in response.content.iter_any():
            now_us = self._clock.now_us()
            *lines, pending = (pending + data).replace(b"\r", b"\n").split(b"\n")  # lines may end with either, or both
            for line in lines:
                answer.take_line(line, now_us)
            if answer.is_over:
                break
        answer.take_line(pending, self._clock.now_us())
        if answer.is_over:  # read to its end, else the connection could not be used again
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_OF_STREAM_S):
                    await response.content.readany()
        if answer.refusal is not None:
            answer.refusal = f"error in the stream: {answer.refusal}"
        elif not answer.is_complete:
            answer.refusal = f"stream ended early, after {len(answer.chunk_us)} chunks"
        elif not answer.chunk_us:
            answer.refusal = "the stream held no tokens"


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The beginning of a body: servers explain what they refuse in few words."""
    body = b""
    async for data in response.content.iter_any():
        body += data
        if len(body) >= _MOST_ERROR_BYTES:
            break
    return body[:_MOST_ERROR_BYTES].decode(errors="replace")


@asynccontextmanager
async def connected(options: ObserveOptions, clock: Clock) -> AsyncIterator[Client]:
    """Yield a client whose connections are closed in the end.

    No proxies are used, and there is no limit but `Client`'s own on time and its caller's on requests in flight.
    """
    # compressing would hold tokens back
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if options.api_key:
        headers["Authorization"] = f"Bearer {options.api_key}"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_IDLE_S),
        timeout=aiohttp.ClientTimeout(total=None),
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=2**20,
    ) as http:
        yield Client(options, clock, http)
