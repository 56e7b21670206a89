"""What to measure, and how: checked before anything is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from blis.errors import ConfigError

ApiFormat = Literal["completions", "chat"]

_PATHS = {"completions": "/v1/completions", "chat": "/v1/chat/completions"}


@dataclass(frozen=True)
class ObserveOptions:
    """How to send the requests of a workload to a server.

    Attributes:
        server_url: such as ``http://localhost:8000``; a ``/v1`` at its end may be there or not.
        model: the model's id, as the server knows it.
        api_format: ``completions`` (``/v1/completions``) or ``chat`` (``/v1/chat/completions``).
        streaming: read tokens as they come; without it, the first and the last of them come together.
        ignore_eos: have outputs of just the wanted length; vLLM and SGLang know this, other servers may refuse it.
        max_concurrency: most requests in flight; more wait for a free slot.
        timeout_s: from sending a request to the end of its answer.
        warm_up_requests: requests numbered below it are sent but not judged.
        api_key: sent as ``Authorization: Bearer``; never written anywhere. None: none is sent.
        rtt_ms: round-trip time to the server, for the header of the trace; None: not known.

    Raises:
        ConfigError: a value makes no sense.
    """

    server_url: str
    model: str
    api_format: ApiFormat = "completions"
    streaming: bool = True
    ignore_eos: bool = False
    max_concurrency: int = 256
    timeout_s: float = 300.0
    warm_up_requests: int = 0
    api_key: str | None = field(default=None, repr=False)
    rtt_ms: float | None = None

    def __post_init__(self) -> None:
        _check_url(self.server_url)
        if not self.model.strip():
            raise ConfigError("model: must not be empty")
        if self.api_format not in _PATHS:
            raise ConfigError(f"api_format: must be completions or chat, got {self.api_format!r}")
        for name, least in (("max_concurrency", 1), ("warm_up_requests", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: must be at least {least}, got {getattr(self, name)}")
        if not (math.isfinite(self.timeout_s) and self.timeout_s > 0):
            raise ConfigError(f"timeout_s: must be a number of seconds > 0, got {self.timeout_s}")
        if self.rtt_ms is not None and not (math.isfinite(self.rtt_ms) and self.rtt_ms >= 0):
            raise ConfigError(f"rtt_ms: must be a number of ms >= 0, got {self.rtt_ms}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ConfigError("api_key: must consist of printable ASCII characters; a line break at its end, perhaps?")

    @property
    def endpoint(self) -> str:
        """Where requests are posted to."""
        return self.server_url.rstrip("/").removesuffix("/v1").rstrip("/") + _PATHS[self.api_format]


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, brackets that do not close
        is_known, parts = False, None
    if parts is not None and "@" in parts.netloc:
        raise ConfigError("server_url: must hold no user name or password; an API key has a flag of its own")
    if not is_known or parts is None or parts.query or parts.fragment or any(c.isspace() for c in url):
        raise ConfigError(f"server_url: must be like http://localhost:8000, got {url!r}")
