"""Tiny files in every format that `blis convert` reads."""

import json

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens\r
2023-11-16 18:17:03.9799600,4808,10\r
2023-11-16 18:17:04.0319608,0,8\r
2023-11-16 18:17:05.0319609,110,0\r
2023-11-17 18:17:03.9799600,1,1"""

AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:01+00:00,2399,6
2024-05-10 02:00:02.000000+02:00,76,15
"""

BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118.5,GPT-4,417,276,693,API log
"""

BURSTGPT_2 = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
19440110.0,1722ac82,43,GPT-4,906,446,1352,Conversation log
19440161.0,,2,ChatGPT,36,29,65,API log
"""

MOONCAKE = """{"timestamp": 500, "input_length": 1100, "output_length": 80, "hash_ids": [0, 1, 2]}
{"timestamp": 3500.25, "input_length": 1400, "output_length": 25, "hash_ids": [0, 1, 3]}
"""

CONVERSATIONS = [
    {
        "id": "a",
        "conversations": [{"from": "human", "value": "one two three"}, {"from": "gpt", "value": "a  b\nc d e f"}],
    },
    {"id": "b", "conversations": []},
    {"id": "c", "conversations": [{"from": "human", "value": "just a question"}]},
]
SHAREGPT = json.dumps(CONVERSATIONS, indent=2)
SHAREGPT_LINES = "\n\n".join(map(json.dumps, CONVERSATIONS))

RESULT = {
    "date": "20260101-000000",
    "model_id": "m",
    "num_prompts": 3,
    "request_rate": "inf",
    "input_lens": [100, 200, 300],
    "output_lens": [10, 0, 30],
    "ttfts": [0.1, 0.0, 0.2],
    "itls": [[0.01, 0.02], [], [0.01]],
    "start_times": [1000.5, 1000.75, 1002.0],
    "generated_texts": ['a "quoted" {text', "", "input_lens"],
    "errors": ["", "timed out", ""],
}
VLLM = json.dumps(RESULT)

TOKEN_CSV = """arrival_time,request_id,model,prefill_tokens,decode_tokens
1.5,a,m,"[1,2,3]","[4]"
2.25,b,m,"[1,2]",null
"""

#: By name of the format.
#: A request took a quarter of a second to its first token, by a clock that began 1,699,990,000 s after 1970.
STAMPS = json.dumps(
    {
        **{"request_id": "a", "input_toks": 40, "output_toks": 3, "arrival_time": 1_700_000_000.25},
        **{"queued_ts": 10_000.25, "first_token_ts": 10_000.5, "last_token_ts": 10_001.5},
    }
)


def _guidellm_request(start_s, prompt, output, ttft_ms, latency_s):
    return {
        **{"type_": "generative_request_stats", "request_id": "a", "request_args": '{"prompt_tokens": 1}'},
        **{"info": {"status": "completed", "timings": {"request_start": start_s}}, "prompt_tokens": prompt},
        **{"input_metrics": {"text_tokens": prompt}, "output_tokens": output, "request_start_time": start_s},
        **{"time_to_first_token_ms": ttft_ms, "request_latency": latency_s},
    }


def _guidellm_benchmark(*successful, errored=()):
    requests = {"successful": list(successful), "errored": list(errored), "incomplete": [], "total": None}
    return {"type_": "generative_benchmark", "config": {}, "metrics": {}, "requests": requests, "start_time": 1.0}


GUIDELLM_BENCHMARKS = [
    _guidellm_benchmark(
        _guidellm_request(1_790_000_000.5, 30, 4, 50.0, 0.2),
        _guidellm_request(1_790_000_001.75, 40, 2, 60.5, 0.25),
        errored=[_guidellm_request(1_790_000_002.0, None, None, None, 0.1)],
    ),
    _guidellm_benchmark(_guidellm_request(1_790_000_010.0, 99, 9, None, 0.5)),
]


def guidellm(*benchmarks):
    """A report."""
    metadata = {"version": 2, "guidellm_version": "0.8.1", "python_version": "3.11", "platform": "Linux"}
    return json.dumps({"metadata": metadata, "config": {"spec": {}}, "benchmarks": benchmarks, "conclusions": []})


def _aiperf(start_ns, phase, error=None, **metrics):
    metadata = {"session_num": 0, "request_start_ns": start_ns, "benchmark_phase": phase, "was_cancelled": False}
    values = {name: {"value": value, "unit": "any"} for name, value in metrics.items()}
    return json.dumps({"metadata": metadata, "metrics": values} | ({} if error is None else {"error": error}))


_DURATIONS = {"time_to_first_token": 57.5, "request_latency": 102.25, "inter_chunk_latency": [1.5, 2.5]}
AIPERF = "\n".join(
    (
        _aiperf(1_790_000_000_000_000_000, "warmup", input_sequence_length=5, output_sequence_length=5),
        _aiperf(
            **{"start_ns": 1_790_000_001_507_175_074, "phase": "profiling", **_DURATIONS},
            **{"usage_prompt_tokens": 19, "input_sequence_length": 46},
            **{"usage_completion_tokens": 10, "output_sequence_length": 35},
        ),
        _aiperf(
            **{"start_ns": 1_790_000_002_507_175_074, "phase": "profiling", **_DURATIONS},
            **{"input_sequence_length": 20, "output_sequence_length": 7},
        ),
        _aiperf(1_790_000_003_000_000_000, "profiling", error={"code": 500, "type": "X", "message": "m"}),
    )
)


def _inference_perf(start_s, error=None):
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    times = [start_s + 0.05, start_s + 0.06, start_s + 0.075]
    response = {"output_tokens": 10, "server_usage": usage, "chunk_times": times, "output_token_times": times}
    info = {"request_metrics": {"text": {"input_tokens": 8}}, "response_metrics": response, "input_tokens": 8}
    body = {"request": '{"prompt": "x"}', "response": 'data: {"id": 1}'}
    return {"start_time": start_s, "end_time": start_s + 0.08, **body, "info": info, "error": error}


INFERENCE_PERF = json.dumps(
    [
        _inference_perf(16909.25),
        _inference_perf(16910.0, {"error_type": "HTTP Error 500", "error_msg": "m"}),
        _inference_perf(16911.5),
    ]
)

_GENAI_REQUEST = {"ttft": 0.1, "tpot": 0.01, "e2e_latency": 0.2, "num_input_tokens": 26, "num_output_tokens": 12}
GENAI_BENCH = json.dumps(
    {
        "aggregated_metrics": {"scenario": "D(60,12)", "num_concurrency": 1, "stats": {"ttft": {"min": 0.1}}},
        "individual_request_metrics": [
            {**_GENAI_REQUEST, "error_code": None, "error_message": None},
            {"ttft": None, "num_input_tokens": None, "num_output_tokens": None, "error_code": 500},
        ],
        "_time_unit": "s",
    },
    indent=4,
)

ANY_COLUMNS = """ts_ms,prompt_tokens,completion_tokens,user
1000,10,5,alice
3500,20,7,
"""

#: What inference-sim writes: the second request has a prefix of 48 tokens before its own 8.
TRACEV2 = (
    "request_id,client_id,tenant_id,slo_class,session_id,round_index,prefix_group,prefix_length,streaming,"
    "input_tokens,output_tokens,text_tokens,image_tokens,audio_tokens,video_tokens,reason_ratio,model,deadline_us,"
    "server_input_tokens,arrival_time_us,send_time_us,first_chunk_time_us,last_chunk_time_us,num_chunks,status,"
    "error_message,finish_reason\n"
    "0,,alice,batch,,0,,0,true,100,20,0,0,0,0,0,,0,112,0,1000,26000,201000,20,ok,,stop\n"
    "1,,,,,0,g,48,true,8,5,0,0,0,0,0,,0,60,250000,250000,270000,290000,5,ok,,length\n"
    "2,,,,,0,,0,true,9,5,0,0,0,0,0,,0,0,300000,300000,0,0,0,timeout,slow,\n"
)

TINY = {
    "azure": AZURE,
    "burstgpt": BURSTGPT,
    "mooncake": MOONCAKE,
    "sharegpt": SHAREGPT,
    "vllm": VLLM,
    "vllm-stamps": STAMPS,
    "token-csv": TOKEN_CSV,
    "tracev2": TRACEV2,
    "columns": ANY_COLUMNS,
    "guidellm": guidellm(GUIDELLM_BENCHMARKS[0]),
    "aiperf": AIPERF,
    "inference-perf": INFERENCE_PERF,
    "genai-bench": GENAI_BENCH,
}

#: Formats that say nothing of arrivals.
WITHOUT_ARRIVALS = ("sharegpt", "genai-bench")
