"""The report of runs: one HTML file with their curves, images and settings."""
