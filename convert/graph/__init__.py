"""ONNX graphs in plain operators: constants, fused and quantized operators."""
