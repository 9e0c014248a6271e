"""Read ONNX files from disk and check them."""
