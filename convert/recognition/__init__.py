"""Find the BERT encoder in a graph: its blocks, weights and sizes."""
