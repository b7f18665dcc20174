"""A run's folder and process: files, checkpoints, metrics, signals, devices."""
