"""Generate damaged ONNX files by the thousand; the converter may raise only errors of minilm_jax for them."""
