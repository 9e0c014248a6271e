"""Reads ONNX files from disk and checks them."""
