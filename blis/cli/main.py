"""The command ``blis``: its subcommands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import click

from blis import __version__
from blis.cli.bench import bench
from blis.cli.calibrate import calibrate
from blis.cli.capacity import capacity
from blis.cli.catalogue import hardware, models, policies, workloads
from blis.cli.compare import compare
from blis.cli.compile import compile_
from blis.cli.completion import completion
from blis.cli.console import log, logs_on_stderr, tell
from blis.cli.convert import convert
from blis.cli.fit import fit
from blis.cli.inspect import inspect
from blis.cli.memory import memory
from blis.cli.observe import observe
from blis.cli.plan import plan
from blis.cli.replay import replay
from blis.cli.report import report
from blis.cli.run import run
from blis.cli.signals import exit_on_signals
from blis.cli.sweep import sweep
from blis.errors import BlisError, InputError, SignalExit
from blis.files.output import naming

#: Exit codes; 0 is success.
FAILED, USAGE, INTERRUPTED = 1, 2, 130
#: Of SIGHUP and SIGTERM.
TERMINATED = (129, 143)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="blis", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Simulate LLM inference serving: latency, throughput and cache behaviour without a GPU.

    Results go to stdout, everything else to stderr. Exit codes: 0 success, 1 the run failed, 2 wrong usage or
    input, 130 interrupted, 143 terminated.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


#: Where two have a flag of one name, messages go by the first one.
_ON_DEPLOYMENTS = (run, replay, report, sweep, capacity, plan, memory, compare, bench)
_COMMANDS = (*_ON_DEPLOYMENTS, observe, calibrate, fit, convert, inspect)
#: Those that no message names flags of.
_LISTS = (models, hardware, policies, workloads, completion, compile_)
for _command in (*_COMMANDS, *_LISTS):
    cli.add_command(_command)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: what follows ``blis``; None: the process's own arguments.

    Returns:
        The exit code.
    """
    with _with_stderr(), logs_on_stderr(), exit_on_signals():
        try:
            _check_stdout()
            given = sys.argv[1:] if args is None else list(args)
            return cli.main(given, obj=tuple(given), prog_name="blis", standalone_mode=False) or 0
        except click.Abort:
            return _complain("interrupted", INTERRUPTED)
        except SystemExit as end:  # of a signal, or of click where nobody reads stdout any more
            return _complain("terminated", end.code) if end.code in TERMINATED else int(end.code or 0)
        except Exception as error:
            if log.isEnabledFor(logging.DEBUG):
                log.debug("traceback of the error below", exc_info=True)
            return _complain(*_explain(error))


@contextmanager
def _with_stderr() -> Iterator[None]:
    """Give a process that was started without stderr one that goes nowhere."""
    if sys.stderr is not None:
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        yield


def _check_stdout() -> None:
    """Find out before anything runs whether there is a place for the results.

    Raises:
        OSError: stdout is closed, or only to be read.
    """
    if sys.stdout is sys.__stdout__:
        with naming(Path("stdout")):
            if sys.stdout is None:
                raise OSError(errno.EBADF, "")
            os.write(sys.stdout.fileno(), b"")


def _explain(error: Exception) -> tuple[str, int]:
    """Message and exit code of an error."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "blis"
        return f"{error.format_message()} (try '{command} --help')", USAGE
    if isinstance(error, InputError):
        return _name_flag(str(error)), USAGE
    if isinstance(error, BlisError):
        return str(error), FAILED
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part), FAILED
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}; fewer instances, requests or KV blocks need less", FAILED
    if cause := _interruption(error):
        return ("terminated", int(cause.code or 0)) if isinstance(cause, SignalExit) else ("interrupted", INTERRUPTED)
    return f"unexpected {type(error).__name__}: {error} (--log debug shows where)", FAILED


def _interruption(error: Exception) -> SignalExit | KeyboardInterrupt | None:
    """What ended the run, if the error came up while that was handled: modules may be loaded by half then."""
    context = error.__context__
    while context is not None and not isinstance(context, SignalExit | KeyboardInterrupt):
        context = context.__context__
    return context


def _name_flag(message: str) -> str:
    """Put the flag where a message begins with the name of what it sets, perhaps with its value or an index."""
    flags = {param.name: param.opts[0] for command in reversed(_COMMANDS) for param in command.params}
    found = re.match(r"(\w+)(?=: | \S+: |\[\d+\]: )", message)
    return flags[found[1]] + message[found.end() :] if found and found[1] in flags else message


def _complain(message: str, code: int) -> int:
    tell(f"error: {' '.join(message.split())}")
    return code
