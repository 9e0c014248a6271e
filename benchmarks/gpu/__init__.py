"""How fast minilm-jax is on one GPU, beside sentence-transformers: `make bench-gpu`, or `python -m benchmarks.gpu`."""
