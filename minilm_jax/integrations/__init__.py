"""Adapters for other libraries; each has its own module and its own extra."""
