"""One file per kind of run; `default.py` lists every key."""
