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
}
