"""The adapters, each beside the real package."""
