"""From images on disk to uint8 batches. Knows nothing of JAX devices."""
