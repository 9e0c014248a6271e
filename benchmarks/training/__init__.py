"""Fine-tuning on real data, compared with the trainer of sentence-transformers."""
