"""Measuring a live server: workloads sent to an OpenAI-compatible endpoint, recorded as a TraceV2 (docs/observe.md)."""
