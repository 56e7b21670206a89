"""TraceV2: a trace as a header and a table of requests."""
