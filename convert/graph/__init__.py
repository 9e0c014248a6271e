"""Reads ONNX graphs and rewrites fused and quantized operators as plain ones."""
