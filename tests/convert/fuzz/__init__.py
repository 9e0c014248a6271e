"""Damaged and hostile ONNX files, made by the thousand: none may bring anything but an error of our own."""
