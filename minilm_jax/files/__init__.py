"""Readers of text files and writers of vector files."""
