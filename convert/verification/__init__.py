"""Runs the graph and the converted encoder on the same inputs and compares their outputs."""
