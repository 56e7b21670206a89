"""What guidellm itself writes is read, and its own figures come out."""

import json
import subprocess

import numpy as np
import pytest
from helpers_mock_server import GUIDELLM, WHY_NOT, mock_server
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from blis.workload.convert.converting import convert
from blis.workload.convert.options import ReadOptions
from blis.workload.traces.loading import load_trace
from blis.workload.traces.parquet import measured_durations

pytestmark = [pytest.mark.mock_server, pytest.mark.skipif(GUIDELLM is None, reason=WHY_NOT)]


def write_tokenizer(folder):
    """A tokenizer that needs no download: a token per byte."""
    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return folder


def test_a_report_of_guidellm(tmp_path):
    tokenizer, report = write_tokenizer(tmp_path / "tokenizer"), tmp_path / "report.json"
    with mock_server(ttft_ms=40, itl_ms=5, model="m") as url:
        options = {
            "backend": f"kind=openai_http,target={url},model=m",
            "profile": "kind=constant,rate=10",
            "constraint": "kind=max_requests,count=8",
            "data": "kind=synthetic_text,prompt_tokens=40,output_tokens=6",
            "tokenizer": f"kind=huggingface_auto,model={tokenizer}",
            "output": f"kind=json,path={report}",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        subprocess.run([GUIDELLM, "run", *flags, "--disable-console"], check=True, capture_output=True, timeout=120)
    _, counts = convert(report, tmp_path / "t.parquet", options=ReadOptions(pick=1))
    said = json.loads(report.read_text())["benchmarks"][0]["metrics"]
    table, (ttft_us, e2e_us) = load_trace(tmp_path / "t.parquet"), measured_durations(tmp_path / "t.parquet")
    assert counts.taken == said["request_totals"]["successful"] > 0
    assert table.input_tokens.sum() == round(said["prompt_token_count"]["successful"]["total_sum"])
    assert table.output_tokens.sum() == round(said["output_token_count"]["successful"]["total_sum"])
    assert np.mean(ttft_us) / 1e3 == pytest.approx(said["time_to_first_token_ms"]["successful"]["mean"], abs=1e-3)
    assert np.mean(e2e_us) / 1e6 == pytest.approx(said["request_latency"]["successful"]["mean"], abs=1e-6)
