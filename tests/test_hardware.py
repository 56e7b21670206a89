"""The shipped hardware file: datasheet figures, efficiencies, and what a file of the user's own must satisfy."""

import dataclasses
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


# The vendors' sheets that hardware_config.json cites, dense figures: TFLOPS at 16 bit, FP8, INT8, FP4, GB/s, GiB as
# sold and as seen, SMs, GB/s of link.
DATASHEETS = {
    "H100-SXM": (989.4, 1978.9, 1978.9, None, 3350, 80, 79.2, 132, 450),
    "A100-80-SXM": (312, None, 624, None, 2039, 80, 79.2, 108, 300),
    "H200-SXM": (989.4, 1978.9, 1978.9, None, 4800, 141, 139.8, 132, 450),
    "L40S": (362.05, 733, 733, None, 864, 48, 44.4, 142, 32),
    "RTX-PRO-6000-Server": (480, 960, 960, 1920, 1597, 96, 95, 188, 64),
    "RTX-4090": (165.2, 330.3, 660.6, None, 1008, 24, 23.5, 128, 32),
    "B200-SXM": (2250, 4500, 4500, 9000, 7700, 180, 178.4, 148, 900),
    "MI300X": (1307.4, 2614.9, 2614.9, None, 5300, 192, 191.98, 304, 448),
    "H100-PCIe": (756.5, 1513, 1513, None, 2000, 80, 79.2, 114, 64),
    "H100-NVL": (835.5, 1670.5, 1670.5, None, 3900, 94, 93.1, 132, 300),
    "H200-NVL": (835.5, 1670.5, 1670.5, None, 4800, 141, 139.8, 132, 450),
    "H800-SXM": (989.4, 1978.9, 1978.9, None, 3350, 80, 79.2, 132, 200),
    "H20": (148, 296, 296, None, 4000, 96, 95, 78, 450),
    "GH200-96": (989.4, 1978.9, 1978.9, None, 4000, 96, 94.5, 132, 450),
    "GH200-144": (989.4, 1978.9, 1978.9, None, 4900, 144, 142.5, 132, 450),
    "A100-40-SXM": (312, None, 624, None, 1555, 40, 39.4, 108, 300),
    "A100-80-PCIe": (312, None, 624, None, 1935, 80, 79.2, 108, 32),
    "A100-40-PCIe": (312, None, 624, None, 1555, 40, 39.4, 108, 32),
    "A10G": (70, None, 140, None, 600, 24, 22, 80, 32),
    "A30": (165, None, 330, None, 933, 24, 23.5, 56, 32),
    "L4": (121, 242.5, 242.5, None, 300, 24, 22, 58, 32),
    "T4": (65, None, 130, None, 320, 16, 14.56, 40, 16),
    "RTX-3090": (71.2, None, 284.7, None, 936, 24, 23.6, 82, 32),
    "RTX-5090": (209.5, 419, 838, 1676, 1792, 32, 31.36, 170, 64),
    "RTX-PRO-6000-Workstation": (503.8, 1007.6, 1007.6, 2015.2, 1792, 96, 95, 188, 64),
    "RTX-PRO-6000-Max-Q": (438.9, 877.9, 877.9, 1755.7, 1792, 96, 95, 188, 64),
    "B300-SXM": (2250, 4500, 153.5, 13500, 7700, 270, 267.69, 148, 900),
    "GB200": (2500, 5000, 5000, 10000, 8000, 186, 184.31, 152, 900),
    "GB300": (2500, 5000, 165, 15000, 8000, 279, 276.5, 152, 900),
    "MI325X": (1307.4, 2614.9, 2614.9, None, 6000, 256, 255.98, 304, 448),
    "MI355X": (2516.6, 5033.2, 5033.2, 10066.3, 8000, 288, 287.98, 256, 537.6),
    "Gaudi-3": (1678, 1678, None, None, 3700, 128, 126.5, 64, 525),
    "TPU-v5e": (197, None, 393, None, 819, 16, 15.75, 1, 200),
    "TPU-v6e": (918, None, 1836, None, 1638, 32, 31.25, 1, 400),
}


def test_all_gpus_are_there_with_the_datasheets_figures():
    assert {
        gpu.name: (
            gpu.peak_16bit_tflops,
            gpu.peak_of("fp8"),
            gpu.peak_of("int8"),
            gpu.peak_of("fp4"),
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
        "asynchronous": HostProfile(2000, 8, 90, 0),
    }
    assert gpu.mixed_step_penalty == 2.1


def test_what_differs_between_gpus():
    gpus = {gpu.name: gpu for gpu in load_hardware().gpus}
    assert [name for name, gpu in gpus.items() if gpu.status == "measured"] == [
        "H100-SXM", "A100-80-SXM", "H200-SXM", "L40S", "RTX-PRO-6000-Server", "B200-SXM", "MI300X", "B300-SXM",
        "MI325X", "MI355X",
    ]  # fmt: skip
    assert {name for name, gpu in gpus.items() if gpu.host_factor != 1.0} == {n for n in gpus if n.startswith("A100-")}
    assert gpus["A100-80-SXM"].host_factor == 1.6
    assert gpus["A100-80-SXM"].types_8bit == ("int8",)
    assert gpus["GB200"].link_domain_gpus == 72
    assert gpus["T4"].pcie_generation == 3


def test_priors_are_those_of_a_gpu_that_came_with_its_own():
    gpus = load_hardware().gpus
    own = {gpu.efficiency for gpu in gpus if gpu.status == "measured" or gpu.name in OWN_GUESSES}
    for gpu in gpus:
        assert gpu.efficiency in own
        assert gpu.status == "measured" or gpu.sources["efficiency"].startswith("prior of "), gpu.name


def test_types_may_have_peaks_of_their_own(tmp_path, entry):
    gpu = load(tmp_path, {"H100": {**entry, "peak_int8_tops": 5, "peak_fp4_tflops": 7}}).get("H100")
    assert [gpu.peak_of(kind) for kind in ("fp8", "int8", "fp4")] == [1978.9, 5, 7]
    gpu = load(tmp_path, {"H100": {**entry, "types_8bit": ["fp8"]}}).get("H100")
    assert [gpu.peak_of(kind) for kind in ("fp8", "int8", "fp4")] == [1978.9, None, None]


#: Priors that are no other GPU's figures.
OWN_GUESSES = ("RTX-4090", "Gaudi-3", "TPU-v5e", "TPU-v6e")
NO_FIGURES = {"name", "aliases", "assumed_for", "status", "sources"}
OWN_WORK = {
    *("efficiency", "prefill_extra_context_tokens", "mixed_step_penalty"),
    *("all_reduce", "host_factor", "host_profiles"),
}
DATE = re.compile(r"\b20[12]\d\b")
ADDRESS = re.compile(r"https://[\w.-]+/|\(public logs, 20")


@pytest.mark.parametrize("gpu", load_hardware().gpus, ids=lambda gpu: gpu.name)
def test_every_figure_has_a_source_with_a_date(gpu):
    assert (
        set(gpu.sources) == {f.name for f in dataclasses.fields(Gpu) if getattr(gpu, f.name) is not None} - NO_FIGURES
    )
    assert not [name for name, text in gpu.sources.items() if not DATE.search(text)]


@pytest.mark.parametrize("gpu", load_hardware().gpus, ids=lambda gpu: gpu.name)
def test_a_vendors_figure_has_an_address_or_is_not_confirmed(gpu):
    vendors = {name: text for name, text in gpu.sources.items() if name not in OWN_WORK}
    assert not [
        name for name, text in vendors.items() if not text.startswith("not confirmed (20") and not ADDRESS.search(text)
    ]


def test_the_documentation_counts_what_is_not_confirmed():
    text = (data_path("hardware_config.json").parent / "docs" / "roofline.md").read_text()
    sources = [each for gpu in load_hardware().gpus for each in gpu.sources.items() if each[0] not in OWN_WORK]
    unsure = [name for name, source in sources if source.startswith("not confirmed")]
    assert f"{len(unsure)} of {len(sources)}" in text


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
        ("A100-PCIE-80", "A100-80-PCIe"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM"),
        ("H100-80GB-HBM3", "H100-SXM"),
        ("nvidia-h100-80gb", "H100-SXM"),
        ("NVIDIA H100 NVL", "H100-NVL"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA H100 80GB HBM2e", "H100-PCIe"),
        ("nvidia-h100-mega-80gb", "H100-SXM"),
        ("nvidia-h200-141gb", "H200-SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100-80-SXM"),
        ("NVIDIA A100-SXM4-40GB", "A100-40-SXM"),
        ("NVIDIA A100 80GB PCIe", "A100-80-PCIe"),
        ("NVIDIA A100-PCIE-40GB", "A100-40-PCIe"),
        ("NVIDIA GH200 480GB", "GH200-96"),
        ("NVIDIA GH200 120GB", "GH200-96"),
        ("NVIDIA GH200 144G HBM3e", "GH200-144"),
        ("NVIDIA B300 SXM6 AC", "B300-SXM"),
        ("B300-288GB", "B300-SXM"),
        ("GB300-288", "GB300"),
        ("a10g", "A10G"),
        ("Tesla T4", "T4"),
        ("L4-24GB", "L4"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("rtx5090", "RTX-5090"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX-PRO-6000-Workstation"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "RTX-PRO-6000-Max-Q"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000-Server"),
        ("AMD Instinct MI355X OAM", "MI355X"),
        ("AMD Instinct MI300X VF", "MI300X"),
        ("gaudi3", "Gaudi-3"),
        ("HL-325L", "Gaudi-3"),
        ("tpu-v5-lite-podslice", "TPU-v5e"),
        ("tpu-v5-lite-device", "TPU-v5e"),
        ("tpu-v6e-slice", "TPU-v6e"),
        ("A100", "A100-80-SXM"),
        ("RTX-PRO-6000", "RTX-PRO-6000-Server"),
        ("RTXPRO6000", "RTX-PRO-6000-Server"),
    ],
)
def test_names_and_aliases(name, expected):
    assert load_hardware().get(name).name == expected
    assert canonical_gpu_name(name) == expected


def test_a_vendor_alone_is_no_gpu(tmp_path, entry):
    own = load(tmp_path, {"NVIDIA": {**entry, "aliases": []}})
    assert own.find("nvidia") is own.gpus[0]
    assert own.find("AMD") is None


def test_gpus_that_differ_are_not_taken_for_each_other():
    for name in ("H200-NVL", "NVIDIA H200 NVL"):
        assert load_hardware().get(name).name == "H200-NVL"
    others = (
        "A800",
        "A10",
        "L40",
        "B100",
        "MI300A",
        "MI308X",
        "H800 PCIe",
        "TPU v5p",
        "RTX 4090 D",
        "RTX 5090 Laptop GPU",
    )
    for name in (*others, "A100-SXM-64GB", "NVIDIA H20-3e", "NVIDIA H20 HBM3e", "RTX PRO 6000D", "H100 MIG 1g.10gb"):
        assert load_hardware().find(name) is None
    for name in ("RTX 6000 Ada Generation", "RTX PRO 4000 Blackwell"):
        assert load_hardware().find(name) is None


@given(st.sampled_from([(gpu, name) for gpu in load_hardware().gpus for name in gpu.names]), st.data())
def test_neither_order_nor_case_nor_words_that_say_nothing_matter(named, data):
    gpu, name = named
    words = [*name.split("-"), *data.draw(st.lists(st.sampled_from(["NVIDIA", "AMD", "HBM3", "OAM"]), max_size=2))]
    mixed = data.draw(st.sampled_from([" ", "-", "_"])).join(data.draw(st.permutations(words)))
    assert load_hardware().find(data.draw(st.sampled_from([mixed, mixed.upper(), mixed.lower()]))) is gpu


@given(st.text(max_size=30))
def test_any_name_is_one_gpu_or_one_line(name):
    gpu = load_hardware().find(name)
    if gpu is None:
        with pytest.raises(ConfigError):
            load_hardware().get(name)


def test_all_names_find_their_gpu():
    for gpu in load_hardware().gpus:
        for name in gpu.names:
            backwards = "-".join(reversed(name.split("-")))
            assert load_hardware().find(name) is gpu
            assert load_hardware().find(f"NVIDIA {backwards.lower()}") is gpu


def test_what_was_taken_for_a_name_that_several_have_is_said():
    hardware = load_hardware()
    assert hardware.assumption("a100") == "a100 is taken for A100-80-SXM, not A100-40-SXM, A100-80-PCIe, A100-40-PCIe"
    assert hardware.assumption("NVIDIA GH200") == "NVIDIA GH200 is taken for GH200-96, not GH200-144"
    assert hardware.assumption("A100-80-SXM") is hardware.assumption("H100") is hardware.assumption("H1000") is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("RTX PRO", "it may be RTX-PRO-6000-Server or RTX-PRO-6000-Workstation or RTX-PRO-6000-Max-Q"),
        ("TPU", "it may be TPU-v5e or TPU-v6e"),
        ("H100-NVL-80GB", "did you mean 'H100-NVL'"),
        ("MIG 1g.10gb H100", "valid: H100-SXM"),
        ("", "valid: H100-SXM"),
    ],
)
def test_what_names_no_single_gpu_is_refused(name, hint):
    assert load_hardware().find(name) is None
    with pytest.raises(ConfigError, match=re.escape(hint)):
        load_hardware().get(name)


def test_names_that_differ_only_for_people_are_two_gpus_of_a_users_own(tmp_path, entry):
    entry["aliases"] = []
    own = load(tmp_path, {"A-80": entry, "A-80GB": {**entry, "num_sms": 9}})
    assert [own.get(name).num_sms for name in ("a-80", "a_80gb")] == [132, 9]
    with pytest.raises(ConfigError, match="it may be A-80 or A-80GB"):
        own.get("NVIDIA A 80GB")


def test_unknown_gpus():
    with pytest.raises(ConfigError, match=r"^hardware: unknown GPU 'H10' in .*; did you mean 'H100'"):
        load_hardware().get("H10")
    with pytest.raises(
        ConfigError, match=r"unknown GPU 'MTT S4000' in .*; valid: H100-SXM, A100-80-SXM, H200-SXM, L40S, "
    ):
        load_hardware().get("MTT S4000")
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


def shown(figures):
    return ["–" if figure is None else f"{figure:g}" for figure in figures]


def test_the_documentation_states_the_shipped_figures():
    hardware = load_hardware()
    tables = {12: [], 16: [], 7: []}
    for name, *cells in documented_rows():
        tables[len(cells)].append(name)
        gpu = hardware.get(name)
        all_reduce = [figure for cost in gpu.all_reduce.values() for figure in dataclasses.astuple(cost)]
        if len(cells) == 12:
            links = (gpu.link_domain_gpus, gpu.pcie_generation, gpu.network_gb_per_s)
            assert cells == shown((*DATASHEETS[name], *links))
        elif len(cells) == 16:
            figures = [*dataclasses.astuple(gpu.efficiency), gpu.prefill_extra_context_tokens, *all_reduce]
            assert cells == [*shown(figures), gpu.status]
        else:
            like = hardware.get(cells[0])
            assert like.efficiency == gpu.efficiency
            assert like.prefill_extra_context_tokens == gpu.prefill_extra_context_tokens
            assert cells[1:] == shown(all_reduce)
    assert tables[12] == list(DATASHEETS)
    assert sorted(tables[16] + tables[7]) == sorted(DATASHEETS)


def test_the_documentation_lists_names_that_are_assumed():
    text = (data_path("hardware_config.json").parent / "docs" / "roofline.md").read_text()
    for gpu in load_hardware().gpus:
        for name in gpu.assumed_for:
            others = load_hardware().assumption(name).partition(", not ")[2]
            assert f"| {name} | {gpu.name} | {others} |" in text
