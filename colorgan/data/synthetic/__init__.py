"""Synthetic images: natural-looking scenes, drawn with NumPy."""
