"""The version of colorgan, and that of the files it exports, each in one place."""

__version__ = "0.2.0"

# Of exported files and their description. None: until 2026-11-23. 1: without hints. 2: with planes of hints as input.
FILE_VERSION = 2
VERSION_WITHOUT_HINTS = 1  # of files of networks that take none, which earlier versions of colorgan can read
