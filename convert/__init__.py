"""ONNX files of BERT sentence encoders to Flax parameters and back: `python -m convert`."""
