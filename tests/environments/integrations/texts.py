"""Texts that the tests of every adapter embed."""

TEXTS = ["The cat sits outside.", "A man is playing guitar.", "", "Ünïcode, 日本語 and 🙂"]
