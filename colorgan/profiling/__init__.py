"""What programs cost and how fast they run."""
