"""From images on disk to uint8 batches in memory. Does not depend on JAX."""
