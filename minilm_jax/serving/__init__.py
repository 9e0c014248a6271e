"""Batching of requests from many clients."""
