"""Photograph and video files, with everything that they hold."""
