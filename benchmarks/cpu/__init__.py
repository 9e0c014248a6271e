"""The levels that are measured on a CPU, from a bare kernel to a whole process: `python -m benchmarks`."""
