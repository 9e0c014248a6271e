"""Compiled programs and where they run: devices, worker threads, and the engine that batches texts."""
