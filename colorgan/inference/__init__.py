"""Coloring with a trained generator: photographs, videos, exported files."""
