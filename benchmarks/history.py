"""What releases cost and did: a small JSON file each, which docs/pictures.py draws."""

import json
import os
import platform
import re
from importlib.metadata import version as version_of
from pathlib import Path
from statistics import median

from blis.errors import ConfigError
from blis.files.output import replacing

FOLDER = Path(__file__).with_name("history")


def check_version(version):
    """Refuse what is no name of a release, such as 0.1.0 or 0.2.0rc1.

    Raises:
        ConfigError: as said.
    """
    if not re.fullmatch(r"\d+(\.\d+)*[\w.+-]*", version):
        raise ConfigError(f"record: {version!r} is no version; valid would be 0.1.0")


def write_release(version, commit, date, counters, timings):
    """Write the file of a release, in place of an earlier one.

    Args:
        version: of the release.
        commit: that was measured.
        date: of that commit.
        counters: by case.
        timings: of cases and of the yardstick, in all rounds, by name.
    """
    yardstick_s = timings.pop("yardstick")
    cases = {
        case: {**({"cpu_s": _rounded(median(timings[case]))} if case in timings else {}), "counters": counters[case]}
        for case in counters
    }
    release = {
        "version": version,
        "commit": commit,
        "date": date,
        "machine": machine(),
        "yardstick_cpu_s": _rounded(median(yardstick_s)),
        "cases": cases,
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{version}.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(release, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def releases():
    """What all files say, the earliest commit first."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")]
    return sorted(found, key=lambda release: (release["date"], release["version"]))


def costs():
    """A row per release and case that is timed: version, case, and CPU seconds at the speed of the last machine."""
    found = releases()
    return [
        {
            "version": release["version"],
            "case": case,
            "cpu_s": figures["cpu_s"] * found[-1]["yardstick_cpu_s"] / release["yardstick_cpu_s"],
        }
        for release in found
        for case, figures in release["cases"].items()
        if "cpu_s" in figures
    ]


def machine():
    """Processors and versions in one line."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        processor = re.search(r"^model name\s*: (.*)$", info, re.MULTILINE)
    except OSError:
        processor = None
    name = processor[1] if processor else platform.processor() or platform.machine()
    versions = ", ".join(f"{package} {version_of(package)}" for package in ("numba", "numpy", "pyarrow"))
    return f"{os.cpu_count()} × {name}, {platform.system()}, Python {platform.python_version()}, {versions}"


def _rounded(seconds):
    return float(f"{seconds:.4g}")
