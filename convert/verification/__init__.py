"""Run the graph and the converted encoder on the same inputs and compare their outputs."""
