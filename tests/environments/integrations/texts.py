"""Texts that every adapter test embeds, and the tolerance of their vectors."""

TEXTS = ["The cat sits outside.", "A man is playing guitar.", "", "Ünïcode, 日本語 and 🙂"]
# A vector depends on its text alone, up to how float32 sums in batches of other shapes.
TOLERANCE = 1e-6
