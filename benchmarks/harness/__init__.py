"""Shared code of the benchmarks: contenders in separate processes, measured in turns, and pages with results."""
