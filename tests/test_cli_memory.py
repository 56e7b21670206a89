"""``blis memory``: the table adds up, programs get one document, and what does not fit is an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import blis
from blis.cli.main import main
from blis.config.schema import Deployment, EngineOptions
from blis.errors import CombinationError, ConfigError

LLAMA = ("--model", "meta-llama/llama-3.1-8b-instruct", "--hardware", "H100")


@pytest.fixture
def ask(capsys):
    """Calls the command; gives exit code, what stdout holds, and stderr."""

    def ask(*words):
        capsys.readouterr()
        code = main(["memory", *words])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out.startswith("{") else out, err

    return ask


def test_the_parts_add_up_to_the_gpu(ask):
    code, found, _ = ask(*LLAMA, "--tp", "1")
    assert code == 0
    assert found["fits"] is True
    assert found["reason"] is None
    assert sum(found["memory_gib_per_gpu"].values()) == pytest.approx(79.2, abs=0.001)
    assert sum(found["weights_gib_by_part"].values()) == pytest.approx(found["weights_gib_per_gpu"], abs=0.001)
    assert found["memory_gib_per_gpu"]["KV caches"] == found["kv_gib_per_gpu"]
    assert found["max_concurrency"] == pytest.approx(found["num_gpu_blocks"] / (131_072 / 16), abs=0.001)
    assert found["log"] == [
        f"GPU KV cache size: {found['kv_cache_tokens']:,} tokens, "
        f"Maximum concurrency for 131,072 tokens per request: {found['max_concurrency']:.2f}x"
    ]


def test_older_versions_log_two_lines_of_the_whole_pool(ask):
    _, found, _ = ask(*LLAMA, "--tp", "2", "--vllm-version", "0.11.0")
    assert found["kv_cache_tokens"] == found["num_gpu_blocks"] * 16
    assert [line.split(":")[0] for line in found["log"]] == [
        "GPU KV cache size",
        "Maximum concurrency for 131,072 tokens per request",
    ]
    assert found["settings"]["gpu_memory_utilization"] == 0.9


def test_what_does_not_fit_is_an_answer_and_no_run(ask, capsys):
    large = ("--model", "llama-3.1-70b-instruct", "--hardware", "H100", "--tp", "1")
    code, found, _ = ask(*large)
    assert code == 0
    assert (found["fits"], found["kv_gib_per_gpu"], found["num_gpu_blocks"], found["log"]) == (False, 0, 0, [])
    assert found["smallest_tp"] == 4
    assert "GiB more are taken than the 72.86 GiB that are usable" in found["reason"]
    assert sum(found["memory_gib_per_gpu"].values()) == pytest.approx(79.2, abs=0.001)
    assert main(["run", *large]) == 2
    assert "the model does not fit 1 x H100-SXM" in capsys.readouterr().err


def test_a_context_for_which_there_is_no_room(ask):
    _, found, _ = ask("--model", "gpt-oss-120b", "--hardware", "H100", "--tp", "1")
    longest = found["longest_request_tokens"]
    assert not found["fits"]
    assert f"the longest that has room is {longest:,} tokens" in found["reason"]
    _, shorter, _ = ask("--model", "gpt-oss-120b", "--hardware", "H100", "--tp", "1", "--max-model-len", str(longest))
    assert shorter["fits"]
    assert [group["kind"] for group in shorter["kv_groups"]] == ["window", "full"]


def test_without_tp_it_is_the_smallest_that_fits(ask):
    _, found, _ = ask("--model", "gpt-oss-120b", "--hardware", "H100")
    assert found["tp"] == found["smallest_tp"] == 2
    assert "tp: 2, the smallest that fits" in found["notes"]
    _, nowhere, _ = ask("--model", "llama-4-maverick-17b-128e-instruct-fp8", "--hardware", "RTX-4090")
    assert (nowhere["tp"], nowhere["smallest_tp"], nowhere["fits"]) == (8, None, False)
    assert "tp: 8, the most there are, and it does not fit" in nowhere["notes"]


def test_each_flag_has_its_part(ask):
    def parts(*words):
        return ask(*LLAMA, "--tp", "1", *words)[1]["memory_gib_per_gpu"]

    usual = parts()
    assert "CUDA graphs" not in parts("--enforce-eager")
    assert parts("--gpu-memory-utilization", "0.5")["not for vLLM"] == pytest.approx(39.6)
    assert parts("--max-num-seqs", "16")["activations"] < usual["activations"]
    assert parts("--max-num-batched-tokens", "16384")["activations"] > usual["activations"]
    assert parts("--activation-gib", "3")["activations"] == 3
    narrow, wide = (ask(*LLAMA, "--tp", "1", "--kv-cache-dtype", kind)[1] for kind in ("fp8", "bf16"))
    assert narrow["num_gpu_blocks"] // 2 == wide["num_gpu_blocks"]


@pytest.mark.parametrize("auto", ["auto", "-1", "AUTO"])
def test_the_length_can_be_what_there_is_room_for(ask, auto):
    words = ("--model", "gpt-oss-120b", "--hardware", "H100", "--tp", "1", "--max-model-len")
    _, all_of_it, _ = ask(*words[:-1])
    code, found, _ = ask(*words, auto)
    assert code == 0
    assert (found["fits"], found["max_model_len"]) == (True, all_of_it["longest_request_tokens"])
    assert found["max_concurrency"] >= 1
    assert f"max_model_len: {found['max_model_len']}, as much as there is room for" in found["notes"]
    assert ask(*words, str(found["max_model_len"] + 1))[1]["fits"] is False
    assert found["smallest_tp"] == 1
    roomy = ask(*LLAMA, "--tp", "2", "--max-model-len", auto)[1]
    assert (roomy["max_model_len"], roomy["fits"]) == (131_072, True)


def test_models_can_be_quantised_and_taken_for_dense_ones(ask, tmp_path):
    half = ask(*LLAMA, "--tp", "1", "--quantization", "fp8")[1]["weights_gib_per_gpu"]
    assert half == pytest.approx(0.57 * ask(*LLAMA, "--tp", "1")[1]["weights_gib_per_gpu"], rel=0.01)
    sizes = {"hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "novel", "vocab_size": 1000, **sizes}))
    words = ("--model", "m", "--model-config-folder", str(tmp_path), "--hardware", "H100")
    assert ask(*words)[0] == 2
    code, found, _ = ask(*words, "--assume-dense-transformer")
    assert code == 0
    assert "model: assumed to be a plain dense transformer: model_type 'novel' is not known" in found["notes"]


def test_a_table_for_people(ask):
    code, out, _ = ask(*LLAMA, "--tp", "1", "--output", "table")
    assert code == 0
    assert out.startswith("Fits: meta-llama/llama-3.1-8b-instruct on 1 x H100-SXM, vLLM 0.33.0\n")
    assert "visible       79.20  100.0 %" in out
    assert "GPU KV cache size" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tp", "3"), "--tp: 32 attention heads and 8 KV heads cannot be split over 3 GPUs; valid: 1, 2, 4, 8"),
        (("--tp", "1", "--max-model-len", "200000"), "--max-model-len: must be <= 131072, the model's own context"),
        (("--tp", "1", "--max-num-seqs", "0"), "--max-num-running-reqs: must be in [1,"),
        (("--tp", "1", "--gpu-memory-utilization", "1.5"), "--gpu-memory-utilization: must be in (0, 1], got 1.5"),
        (("--tp", "1", "--max-num-seqs", "64", "--max-num-batched-tokens", "32"), "--max-num-scheduled-tokens: must"),
        (("--tp", "1", "--block-size-in-tokens", "24"), "--block-size-in-tokens: must be a multiple of 16, got 24"),
        (("--tp", "1", "--kv-cache-dtype", "int3"), "'int3' is unknown"),
    ],
)
def test_wrong_settings_are_one_line(ask, words, message):
    code, out, err = ask(*LLAMA, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_what_is_not_known_is_asked_for():
    with pytest.raises(ConfigError, match=r"^model: unknown model 'nobody/nothing'; needs .*config\.json"):
        blis.gpu_memory(Deployment("nobody/nothing", hardware="H100", tp=1))
    with pytest.raises(CombinationError, match=r"^hardware: not given, and phi-4 has no default"):
        blis.gpu_memory("phi-4")
    with pytest.raises(ConfigError, match=r"^hardware: unknown GPU 'H10'"):
        blis.gpu_memory(Deployment("phi-4", hardware="H10"))


def test_a_page(tmp_path, ask):
    path = tmp_path / "memory.html"
    code, found, _ = ask(*LLAMA, "--tp", "1", "--report", str(path))
    assert code == 0
    text = path.read_text()
    assert "Fits: meta-llama/llama-3.1-8b-instruct" in text
    assert f"{found['kv_cache_tokens']:,}" in text
    for name, size in found["memory_gib_per_gpu"].items():
        assert name in text
        assert f"{size:,.2f}" in text


@given(
    st.sampled_from(["llama-3.1-8b-instruct", "gpt-oss-20b", "deepseek-v2-lite-chat", "qwen3-30b-a3b"]),
    st.sampled_from(["H100", "L40S", "MI300X", "B200", "RTX-4090"]),
    st.sampled_from(["0.8.4", "0.11.0", "0.16.0", "0.19.0", "0.33.0"]),
    st.integers(1, 32_000),
)
def test_an_answer_agrees_with_itself(model, hardware, version, length):
    deployment = Deployment(model, hardware=hardware, vllm_version=version)
    found = blis.gpu_memory(deployment, engine=EngineOptions(max_model_len=length))
    assert found.fits == (found.reason is None)
    assert found.fits == (found.known.tp == found.smallest_tp)
    plan = found.budget.plan
    assert found.fits == (plan.longest_request_tokens == length and found.budget.kv_bytes > 0)
