"""Verification: the graph and the converted encoder on the same inputs."""
