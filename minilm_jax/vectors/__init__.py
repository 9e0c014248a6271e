"""Similarity functions and quantization of sentence vectors."""
