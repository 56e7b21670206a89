"""A second engine: slow, plain and literal, the oracle for the compiled one.

It shares no code with `blis`. Every rule is written the way it is usually told: real block ids in a
real free list, real token ids, one request object per request, one pass over them per step.

Reading guide: `records` (what goes in and comes out), `block_pool` (KV blocks and the prefix cache),
`scheduler` (who gets how many tokens in one step), `instance` (one step after the other: refusals, load, sampling),
`engine` (the clock of a single instance), `cluster` (the clock of several), `router` (what their policies see and say).
"""
