"""The shipped configs, one file for each kind of run; `default.py` lists every key. Installed as colorgan.configs."""
