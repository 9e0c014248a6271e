"""Convert BERT sentence encoders from ONNX to Flax parameters and back: `python -m convert`."""
