import dataclasses

import pytest

from blis.config.schema import EngineOptions
from blis.config.versions import host_profile_name, normalize_version, parse_version, scheduler_profile
from blis.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vllm/vllm-openai:v0.8.4", "0.8.4"),
        ("v0.8.4", "0.8.4"),
        ("0.8.4", "0.8.4"),
        (" V0.8.4 ", "0.8.4"),
        ("vllm/vllm-openai:v0.10.1.1", "0.10.1.1"),
        ("0.19", "0.19"),
        ("0.19.0rc1", "0.19.0"),
        ("0.8.5.post1", "0.8.5"),
        ("0.11.0+cu128", "0.11.0"),
    ],
)
def test_all_forms_of_a_version(text, expected):
    assert normalize_version(text) == expected


@pytest.mark.parametrize("text", ["latest", "", "8", "v", "0.8.x", "vllm:0.8.4", "0..8"])
def test_other_texts_are_refused(text):
    with pytest.raises(ConfigError, match="vllm_version: must look like"):
        normalize_version(text)


def test_versions_compare_as_releases():
    assert parse_version("0.8.4") < parse_version("0.8.5") < parse_version("0.10.1.1") < parse_version("0.19")
    assert parse_version("0.19.0") == parse_version("v0.19")


@pytest.mark.parametrize(
    ("version", "preallocated_tokens", "is_newest"),
    [
        ("0.8.3", 64, False),
        ("0.8.4", 64, False),
        ("0.8.5", 0, False),
        ("0.10.1.1", 0, False),
        ("0.18.3", 0, False),
        ("0.19.0", 0, True),
        ("0.33.0", 0, True),
        (None, 0, False),
    ],
)
def test_scheduler_profile(version, preallocated_tokens, is_newest):
    profile = scheduler_profile(version)
    assert profile.preallocated_tokens == preallocated_tokens
    assert profile.free_keyless_blocks_first is is_newest
    assert profile.threshold_spares_lone_request is is_newest
    assert profile.refuse_prompt_of_max_model_len is is_newest
    assert profile.reserve_full_prompt is is_newest
    assert profile.kv_watermark == 0.0


@pytest.mark.parametrize(
    ("version", "is_on"), [("0.10.0", False), ("0.13.4", False), ("0.14.0", True), ("0.19", True), (None, False)]
)
def test_asynchronous_scheduling_is_on_from_0_14(version, is_on):
    assert scheduler_profile(version).async_scheduling is is_on


def test_every_rule_of_a_profile_can_be_set_by_itself():
    rules = {field.name for field in dataclasses.fields(scheduler_profile(None))} - {"name"}
    assert rules <= {field.name for field in dataclasses.fields(EngineOptions)}


@pytest.mark.parametrize(
    ("version", "profile"),
    [
        ("0.8.4", "piecewise"),
        ("0.10.2", "piecewise"),
        ("0.11.0", "full"),
        ("0.13.9", "full"),
        ("0.14.0", "asynchronous"),
        (None, "asynchronous"),
    ],
)
def test_host_profile(version, profile):
    assert host_profile_name(version) == profile
