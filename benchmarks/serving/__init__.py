"""Servers under load, over loopback: `python -m benchmarks.serving`."""
