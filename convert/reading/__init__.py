"""Bytes on disk to a checked ONNX model."""
