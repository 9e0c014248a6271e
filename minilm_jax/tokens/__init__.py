"""Conversion of texts to token ids, and of token ids to batches; numpy only."""
