"""Photographs and films, from files and to files, with all that these hold."""
