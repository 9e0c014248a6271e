"""How fast minilm-jax is beside its peers: `make bench`, or `python -m benchmarks` where the peers are installed."""
