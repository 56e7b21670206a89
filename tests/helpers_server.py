"""A small OpenAI-compatible server on the loopback, whose answers a test decides."""

import asyncio
import json
import threading
import time
from contextlib import contextmanager

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Call:
    """One request, and the means to answer it."""

    def __init__(self, number, headers, body, writer):
        self.number, self.headers, self.body, self.writer = number, headers, body, writer
        self.at_s = time.monotonic()

    @property
    def is_chat(self):
        return "messages" in self.body

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def respond(self, status, body, head=""):
        body = body.encode()
        await self.send(f"HTTP/1.1 {status} X\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def event(self, data):
        line = f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
        await self.send(f"{len(line):x}\r\n".encode() + line + b"\r\n")

    async def token(self, text, finish_reason=None, **delta):
        choice = {"delta": {"content": text, **delta}} if self.is_chat else {"text": text}
        await self.event({"choices": [{"index": 0, "finish_reason": finish_reason, **choice}]})

    async def usage(self, prompt_tokens, completion_tokens):
        counts = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        await self.event({"choices": [], "usage": counts})

    async def end(self):
        await self.event("[DONE]")
        await self.send(b"0\r\n\r\n")

    def text(self):
        """What was asked."""
        return "".join(m["content"] for m in self.body["messages"]) if self.is_chat else self.body["prompt"]


async def answer(call, ttft_s=0.0, itl_s=0.0, text=" yes"):
    """What a server does that works: as many tokens as wanted, prompt tokens counted by words."""
    count = call.body["max_tokens"]
    prompt_tokens = len(call.text().split())
    if not call.body["stream"]:
        choice = {"text": text * count, "message": {"content": text * count}}
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": count}
        await call.respond(200, json.dumps({"choices": [choice], "usage": usage}))
        return
    await call.send(HEAD)
    await asyncio.sleep(ttft_s)
    for number in range(count):
        if number:
            await asyncio.sleep(itl_s)
        await call.token(text, "length" if number == count - 1 else None)
    await call.usage(prompt_tokens, count)
    await call.end()


class Server:
    """Where it listens, and what it was asked."""

    def __init__(self, behave):
        self.behave, self.calls, self.url = behave, [], ""
        self.most_at_once = self._now = 0

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")[1:]
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                headers["authorization"] = next((x[15:] for x in lines if x.lower().startswith("authorization")), None)
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                call = Call(len(self.calls), headers, body, writer)
                self.calls.append(call)
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                try:
                    await self.behave(call)
                finally:
                    self._now -= 1
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()


@contextmanager
def serving(behave=answer):
    """Run a server in a thread of its own; what it does with a `Call` is up to ``behave``."""
    server, loop, ready = Server(behave), asyncio.new_event_loop(), threading.Event()

    async def listen():
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**24)
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        return listener

    def work():
        asyncio.set_event_loop(loop)
        listener = loop.run_until_complete(listen())
        ready.set()
        loop.run_forever()
        listener.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
