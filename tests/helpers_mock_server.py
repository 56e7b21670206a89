"""The mock server of GuideLLM: an OpenAI-compatible server whose latencies are those it is told."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from urllib.error import URLError

#: The command, perhaps of another environment.
GUIDELLM = os.environ.get("BLIS_GUIDELLM") or shutil.which("guidellm")
WHY_NOT = "needs the command guidellm (dependency group mock-server) on the PATH or named by BLIS_GUIDELLM"

_START_S = 60


@contextmanager
def mock_server(**settings):
    """Run it with settings such as ``ttft_ms=100``; those that spread latencies are 0. Gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"port": port, "ttft_ms_std": 0, "itl_ms_std": 0, "request_latency_std": 0} | settings
    flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([GUIDELLM, "mock-server", *flags], **quiet) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _await(url, process)
            yield url
        finally:
            process.terminate()


def _await(url, process):
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"the mock server did not start within {_START_S} s; exit code {process.poll()}")
