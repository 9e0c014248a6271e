"""Converted models on disk, and params written back into an ONNX graph."""
