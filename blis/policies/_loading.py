"""Finds a user's function by ``module:function`` or ``file.py:function``."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blis.errors import ConfigError, nearest


def load_function(spec: str, option: str) -> Callable[..., Any]:
    """The function that a spec names.

    Args:
        spec: ``module:function`` or ``file.py:function``, the file relative to the working directory.
        option: whose value it is; begins every message.

    Raises:
        ConfigError: no such module, file or function, or one that can't be loaded.
    """
    source, _, name = spec.rpartition(":")
    if not source or not name:
        raise ConfigError(f"{option}: expected module:function or file.py:function, got {spec!r}")
    where = f"{option} {spec}"
    module = _load_file(Path(source), where) if source.endswith(".py") else _import(source, where)
    if not hasattr(module, name):
        functions = [key for key, value in vars(module).items() if _function(value) and not key.startswith("_")]
        hint = nearest(name, functions) if functions else "it has no functions"
        raise ConfigError(f"{where}: no function {name!r} in {source}; {hint}")
    function = _function(getattr(module, name))
    if function is None:
        raise ConfigError(f"{where}: expected a function, got an object of type {type(getattr(module, name)).__name__}")
    return function


def _function(value: Any) -> Callable[..., Any] | None:
    """A plain function, also out of one that numba has compiled."""
    value = getattr(value, "py_func", value)
    return value if inspect.isfunction(value) else None


def _import(name: str, where: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ConfigError(f"{where}: no module {error.name!r}; a file is named as file.py:function") from None
        raise ConfigError(f"{where}: {_failure(error, None)}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{where}: {_failure(error, None)}") from error


def _load_file(path: Path, where: str) -> types.ModuleType:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{where}: can't read {path}: {error.strerror}") from None
    try:
        return _execute(path.resolve(), source)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{where}: {_failure(error, str(path.resolve()))}") from error


@functools.lru_cache(maxsize=16)
def _execute(path: Path, source: bytes) -> types.ModuleType:
    """Run a file as a module. The same text is run once, so that its policies are compiled once."""
    name = f"{path.stem}_{hashlib.sha256(source).hexdigest()[:12]}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    code = compile(source, str(path), "exec")
    sys.modules[name] = module  # dataclasses look their module up
    try:
        exec(code, module.__dict__)
    finally:
        del sys.modules[name]
    return module


def _failure(error: BaseException, path: str | None) -> str:
    """What an import raised, and in which line of which file: in the file itself if it appears at all."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"line {error.lineno} of {Path(error.filename or '?').name}: {kind}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == path] or frames
    if isinstance(error, SyntaxError):  # one without a line: bytes that are no text
        return f"{kind}: {text}"
    return f"line {own[-1].lineno} of {Path(own[-1].filename).name}: {kind}: {text}"
