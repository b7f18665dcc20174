"""Training: the loop, the jitted step, and what they are built from."""
