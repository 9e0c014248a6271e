"""Finished vectors: similarity functions and quantization."""
