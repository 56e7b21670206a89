"""The shipped hardware file: datasheet figures, efficiencies, and what a file of the user's own must satisfy."""

import dataclasses
import json

import pytest

from blis.config.hardware import AllReduce, Efficiency, Gpu, HostProfile, canonical_gpu_name, load_hardware
from blis.errors import ConfigError
from blis.files.resources import data_path


@pytest.fixture
def entry():
    return json.loads(data_path("hardware_config.json").read_text())["H100-SXM"]


def load(tmp_path, content):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content))
    return load_hardware(path)


# Datasheets of the vendors, dense figures: 16-bit and 8-bit TFLOPS, GB/s, GiB as sold and as seen, SMs, GB/s of link.
DATASHEETS = {
    "H100-SXM": (989.4, 1978.9, 3350, 80, 79.2, 132, 450),
    "A100-80-SXM": (312, 624, 2039, 80, 79.2, 108, 300),
    "H200-SXM": (989.4, 1978.9, 4800, 141, 139.8, 132, 450),
    "L40S": (362.05, 733, 864, 48, 44.4, 142, 32),
    "RTX-PRO-6000-Server": (480, 960, 1597, 96, 95.0, 188, 64),
    "RTX-4090": (165.2, 330.3, 1008, 24, 23.5, 128, 32),
    "B200-SXM": (2250, 4500, 7700, 180, 178.4, 148, 900),
    "MI300X": (1307.4, 2614.9, 5300, 192, 191.5, 304, 448),
}


def test_all_gpus_are_there_with_the_datasheets_figures():
    assert {
        gpu.name: (
            gpu.peak_16bit_tflops,
            gpu.peak_8bit_tflops,
            gpu.memory_bandwidth_gb_per_s,
            gpu.nominal_memory_gib,
            gpu.visible_memory_gib,
            gpu.num_sms,
            gpu.link_gb_per_s,
        )
        for gpu in load_hardware().gpus
    } == DATASHEETS


def test_figures_of_one_gpu_in_full():
    gpu = load_hardware().get("RTX-PRO-6000-Server")
    assert gpu.status == "measured"
    assert gpu.types_8bit == ("fp8", "int8")
    assert gpu.efficiency == Efficiency(0.80, 0.75, 0.90, 0.89, 0.63, 0.40, 0.30, 0.80)
    assert gpu.prefill_extra_context_tokens == 230
    assert gpu.all_reduce == {2: AllReduce(18.8, 16), 4: AllReduce(13.9, 24), 8: AllReduce(28, 22)}
    assert gpu.tp_degrees == (1, 2, 4, 8)
    assert gpu.host_factor == 1.0
    assert gpu.host_profiles == {
        "piecewise": HostProfile(3600, 8, 90, 90),
        "full": HostProfile(2000, 8, 90, 0),
    }


def test_what_differs_between_gpus():
    gpus = {gpu.name: gpu for gpu in load_hardware().gpus}
    assert {name for name, gpu in gpus.items() if gpu.status == "prior"} == {"RTX-4090", "MI300X"}
    assert {name for name, gpu in gpus.items() if gpu.host_factor != 1.0} == {"A100-80-SXM"}
    assert gpus["A100-80-SXM"].host_factor == 1.6
    assert gpus["A100-80-SXM"].types_8bit == ("int8",)


def test_every_figure_names_its_source():
    figures = {f.name for f in dataclasses.fields(Gpu)} - {"name", "aliases", "status", "sources"}
    for gpu in load_hardware().gpus:
        assert set(gpu.sources) == figures, gpu.name
        assert all(len(text) > 5 for text in gpu.sources.values()), gpu.name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("H100", "H100-SXM"),
        ("h100-sxm", "H100-SXM"),
        ("A100-80", "A100-80-SXM"),
        ("A100-SXM", "A100-80-SXM"),
        ("a100 80 sxm", "A100-80-SXM"),
        ("rtx_pro_6000_server", "RTX-PRO-6000-Server"),
        ("h200", "H200-SXM"),
        ("mi300x", "MI300X"),
    ],
)
def test_names_and_aliases(name, expected):
    assert load_hardware().get(name).name == expected
    assert canonical_gpu_name(name) == expected


def test_unknown_gpus():
    with pytest.raises(ConfigError, match=r"^hardware: unknown GPU 'H10' in .*; did you mean 'H100'"):
        load_hardware().get("H10")
    with pytest.raises(ConfigError, match=r"unknown GPU 'TPUv5' in .*; valid: H100-SXM, A100-80-SXM, H200-SXM, L40S, "):
        load_hardware().get("TPUv5")
    assert canonical_gpu_name(" My_GPU") == "my-gpu"


def test_a_file_of_the_users_own(tmp_path, entry):
    own = load(tmp_path, {"My-GPU": {**entry, "aliases": ["mine"], "num_sms": 99}})
    assert own.get("MINE").num_sms == 99
    assert own.find("H100") is None
    del entry["sources"], entry["aliases"]
    assert load(tmp_path, {"My-GPU": entry}).get("my-gpu").sources == {}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("peak_16bit_tflops", None, r"H100: missing peak_16bit_tflops; found aliases, status"),
        ("peak_16bit_tflops", 0, r"H100\.peak_16bit_tflops: must be above 0, got 0"),
        ("memory_bandwidth_gb_per_s", -1, r"H100\.memory_bandwidth_gb_per_s: must be a number >= 0, got -1"),
        ("visible_memory_gib", float("nan"), r"H100\.visible_memory_gib: must be a number >= 0, got nan"),
        ("visible_memory_gib", 81, r"H100\.visible_memory_gib: must be <= nominal_memory_gib, got 81"),
        ("num_sms", 13.5, r"H100\.num_sms: must be a whole number >= 1, got 13\.5"),
        ("status", "guessed", r"H100\.status: unknown value 'guessed'; valid: measured, prior"),
        ("types_8bit", ["fp4"], r"H100\.types_8bit\[0\]: unknown value 'fp4'; valid: fp8, int8"),
        ("peak_tflops", 5, r"H100\.peak_tflops: unknown key; did you mean 'peak_8bit_tflops'"),
        ("all_reduce", {"two": {}}, r"H100\.all_reduce\.two: must be a number of GPUs >= 2"),
        (
            "all_reduce",
            {"2": {"latency_us": 1, "rate_gb_per_s": 451}},
            r"H100\.all_reduce\.2\.rate_gb_per_s: must be <= link_gb_per_s, got 451",
        ),
        ("all_reduce", {"2": {"latency_us": 1}}, r"H100\.all_reduce\.2\.rate_gb_per_s: missing"),
        ("host_profiles", {"full": {}}, r"H100\.host_profiles\.piecewise: missing"),
        ("sources", {"num_sms": 3}, r"H100\.sources\.num_sms: must be text"),
    ],
)
def test_impossible_or_malformed_figures(tmp_path, entry, key, value, message):
    entry[key] = value
    with pytest.raises(ConfigError, match=r"own\.json: " + message):
        load(tmp_path, {"H100": entry})


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Efficiency)])
def test_no_efficiency_is_above_one_or_missing(tmp_path, entry, name):
    entry["efficiency"][name] = 1.01
    with pytest.raises(
        ConfigError, match=rf"own\.json: H100\.efficiency\.{name}: must be a number from 0 to 1, got 1.01"
    ):
        load(tmp_path, {"H100": entry})
    del entry["efficiency"][name]
    with pytest.raises(ConfigError, match=rf"own\.json: H100\.efficiency\.{name}: missing"):
        load(tmp_path, {"H100": entry})


def test_the_older_public_layout_is_refused_by_its_missing_keys(tmp_path):
    with pytest.raises(
        ConfigError, match=r"H100: missing status, peak_16bit_tflops, .*; found TFlopsPeak, mfuPrefill$"
    ):
        load(tmp_path, {"H100": {"TFlopsPeak": 989.5, "mfuPrefill": 0.65}})


def test_two_gpus_cannot_share_a_name(tmp_path, entry):
    with pytest.raises(ConfigError, match=r"own\.json: B\.aliases: 'h100' already names A"):
        load(tmp_path, {"A": {**entry, "aliases": ["H100"]}, "B": {**entry, "aliases": ["h100"]}})


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="must describe at least one GPU"):
        load(tmp_path, {})


def documented_rows():
    """First cell and the rest of every table row of the documentation that starts with a GPU's name."""
    text = (data_path("hardware_config.json").parent / "docs" / "roofline.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    names = {gpu.name for gpu in load_hardware().gpus}
    return [row for row in rows if row[0] in names]


def test_the_documentation_states_the_shipped_figures():
    hardware = load_hardware()
    for name, *cells in documented_rows():
        gpu = hardware.get(name)
        if len(cells) == 7:
            assert tuple(map(float, cells)) == DATASHEETS[name]
        else:
            all_reduce = [figure for cost in gpu.all_reduce.values() for figure in dataclasses.astuple(cost)]
            figures = [*dataclasses.astuple(gpu.efficiency), gpu.prefill_extra_context_tokens, *all_reduce]
            assert [float(cell) for cell in cells[:-1]] == figures
            assert cells[-1] == gpu.status
    assert len(documented_rows()) == 2 * len(DATASHEETS)
