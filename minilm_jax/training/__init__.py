"""Fine-tuning: losses, data, optimizers and the training loop."""
