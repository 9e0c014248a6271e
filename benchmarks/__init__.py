"""Measurements of speed, memory and quality, of minilm-jax and of other libraries."""
