"""Write converted model folders, and params back into an ONNX graph."""
