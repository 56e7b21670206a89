"""Traces of requests in files: CSV, Parquet, TraceV2."""
