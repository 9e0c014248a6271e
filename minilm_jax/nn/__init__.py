"""The network: parameters, encoder, pooling and precisions as pure JAX functions."""
