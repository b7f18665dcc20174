"""Photographs and films from files and to files, and chroma brought to their size."""
