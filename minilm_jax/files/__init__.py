"""Text files to read and vector files to write."""
