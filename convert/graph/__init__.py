"""Read ONNX graphs and rewrite fused and quantized operators as plain ones."""
