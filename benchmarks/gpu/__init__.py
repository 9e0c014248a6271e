"""The levels that are measured on one GPU: `make bench-gpu`, or `python -m benchmarks.gpu`."""
