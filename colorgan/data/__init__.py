"""From images on disk to uint8 batches in memory. Contains no JAX code."""
