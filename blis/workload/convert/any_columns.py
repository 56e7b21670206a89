"""Any table of requests: CSV, JSON lines, a JSON list or Parquet, whose columns are named or have usual names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from blis.errors import nearest
from blis.workload.convert.any_tables import open_table
from blis.workload.convert.csv_columns import Columns
from blis.workload.convert.options import COLUMN_ROLES, TIME_UNITS, TimeUnit
from blis.workload.convert.source import Rows, Source
from blis.workload.convert.time_units import NAMES, Form, decide_unit
from blis.workload.requests import Ints

#: What columns are usually called, in small letters without marks; earlier ones are taken first.
_USUAL: dict[str, tuple[str, ...]] = {
    "arrival": (
        *("arrivaltime", "arrivaltimestamp", "arrivedat", "arrival", "requesttime", "requesttimestamp"),
        *("requeststarttime", "timestamp", "ts", "starttime", "startts", "startedat", "starttimestamp", "sendtime"),
        *("sentat", "createdat", "createdtime", "created", "datetime", "time", "date"),
    ),
    "input": (
        *("inputtokens", "prompttokens", "numinputtokens", "numprompttokens", "ninputtokens", "nprompttokens"),
        *(
            "inputlength",
            "inputlen",
            "promptlength",
            "promptlen",
            "inputsequencelength",
            "inputtokencount",
            "inputtoks",
        ),
        *("prompttokencount", "contexttokens", "prefilltokens", "numprefilltokens", "requesttokens", "tokensin"),
        *("intokens", "inputsize", "isl"),
    ),
    "output": (
        *(
            "outputtokens",
            "completiontokens",
            "numoutputtokens",
            "numcompletiontokens",
            "noutputtokens",
            "generatedtokens",
        ),
        *(
            "ncompletiontokens",
            "numgeneratedtokens",
            "generationtokens",
            "outputlength",
            "outputlen",
            "completionlength",
        ),
        *(
            "completionlen",
            "outputsequencelength",
            "outputtokencount",
            "completiontokencount",
            "decodetokens",
            "outputtoks",
        ),
        *("numdecodetokens", "responsetokens", "tokensout", "outtokens", "outputsize", "osl"),
    ),
    "session": ("sessionid", "session", "conversationid", "chatid", "threadid"),
    "tenant": ("tenantid", "tenant", "customerid", "customer", "organization", "org", "userid", "user"),
    "class": ("sloclass", "serviceclass", "class", "tier", "slo"),
}
_NEEDED = ("input", "output")
#: What each is called in our traces.
_OURS = {"session": "session_id", "tenant": "tenant_id", "class": "slo_class"}
#: How names end that say the unit of a time.
_UNIT = re.compile(r"[ _([]+([mun]?s|sec|secs|(?:milli|micro|nano)?seconds)[)\]]?$")
_UNITS: dict[str, TimeUnit] = {"milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
_UNITS |= {"ms": "ms", "us": "us", "ns": "ns"}
#: So many of the first times show which unit is plausible.
_SAMPLE = 1 << 12


def guess_columns(names: Sequence[str]) -> dict[str, str]:
    """The columns with usual names, by what they are."""
    last = {_plain(name.rpartition(".")[2]): name for name in reversed(names)}
    plain = last | {_plain(name): name for name in reversed(names)}
    found = {role: next((plain[name] for name in usual if name in plain), None) for role, usual in _USUAL.items()}
    return {role: name for role, name in found.items() if name is not None}


def _plain(name: str) -> str:
    """A name without capitals, marks and the unit it ends in."""
    return re.sub(r"[^a-z0-9]", "", _UNIT.sub("", name.lower()))


def looks_like_requests(names: Sequence[str]) -> bool:
    """Whether columns of these names can be read without being told which are which."""
    return {"arrival", *_NEEDED} <= set(guess_columns(names))


def read_any_columns(source: Source) -> Iterator[Rows]:
    """Read lengths, arrivals and names of sessions, tenants and classes.

    Raises:
        WorkloadError: a column that was named is missing, none is found that holds the lengths, or a row is wrong.
    """
    with open_table(source) as table:
        chosen = choose_columns(source, table.names)
        times: _Times | None = None
        for numbers, piece in table.pieces(list(dict.fromkeys(chosen.values()))):
            columns = Columns(source, numbers, piece, table.word)
            arrival_us = None
            if "arrival" in chosen:
                times = times or _Times(source, chosen["arrival"], columns)
                arrival_us = times.micros(columns)
            prompt, output = (columns.whole_lengths(chosen[role]) for role in _NEEDED)
            named = {ours: columns.names(chosen[role]) for role, ours in _OURS.items() if role in chosen}
            yield Rows(arrival_us, prompt, output, named).filter(columns.good())


class _Times:
    """How the times of a column are to be read, decided by the first ones."""

    def __init__(self, source: Source, name: str, columns: Columns) -> None:
        self._name = name
        numbers = columns.some_numbers(name, _SAMPLE)
        self._us_per_unit: float | None = None
        if numbers:
            self._us_per_unit = TIME_UNITS[unit_of(source, name, numbers)]
        elif source.options.time_unit is not None:
            raise source.error(f"{name}: are dates, which have no unit; leave out {source.option('time-unit')}")

    def micros(self, columns: Columns) -> Ints:
        if self._us_per_unit is None:
            return columns.dates_us(self._name)
        return columns.times_us(self._name, self._us_per_unit)


def unit_of(source: Source, name: str, numbers: Sequence[float]) -> TimeUnit:
    """The unit that is asked for, that the name ends in, or that is plausible."""
    said = _UNIT.search(name.lower())
    if said is None or source.options.time_unit is not None:
        return decide_unit(source, name, numbers, Form("s", "as in most logs", sure=False))
    unit = _UNITS.get(said[1], "s")
    source.assume(f"{name}: taken as {NAMES[unit]}: its name says {NAMES[unit]}")
    return unit


def choose_columns(source: Source, names: Sequence[str], roles: Sequence[str] = COLUMN_ROLES) -> dict[str, str]:
    """The column of each role: as the options say, else by usual names, which is told.

    Raises:
        WorkloadError: a column that was named is missing, or none is found that holds the lengths.
    """
    given = dict(source.options.columns or {})
    for role, name in given.items():
        if name not in names:
            raise source.error(
                f"{source.option('columns', f'{role}={name}')}: there is no such column; {nearest(name, names)}"
            )
    guessed = {role: name for role, name in guess_columns(names).items() if role in roles and role not in given}
    chosen = given | guessed
    for role in _NEEDED:
        if role in roles and role not in chosen:
            says = source.option("columns", f"{role}=NAME")
            raise source.error(f"which column holds the {role} tokens? {says} says it; {_found(names)}")
    if guessed:
        told = ", ".join(f"{role}={name}" for role, name in guessed.items())
        source.assume(f"columns by their names: {told}; {source.option('columns')} says otherwise")
    if "arrival" not in chosen:
        says = source.option("columns", "arrival=NAME")
        source.assume(f"no column looks like arrivals; {says} says which; {_found(names)}")
    return {role: chosen[role] for role in roles if role in chosen}


def _found(names: Sequence[str]) -> str:
    return f"found: {', '.join(names)[:200] or 'no columns'}"
