"""The version of colorgan, and that of the files it exports, each in one place."""

__version__ = "0.2.0"

FILE_VERSION = 1  # of exported files and their description; files until 2026-11-23 have no number
