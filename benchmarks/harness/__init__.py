"""What all benchmarks share: contenders in separate processes, measured in turns, and the pages with their results."""
