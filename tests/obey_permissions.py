"""Runs a program to which the modes of files apply, even if it is root: `obey_permissions.py PROGRAM ARGUMENT...`.

The uid stays, and with it what the program may write; root only loses the capabilities that ignore modes (Linux).
"""

import ctypes
import os
import sys

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2

if os.geteuid() == 0:
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            sys.exit("this root may not give up capabilities: run the tests as another user")
os.execv(sys.argv[1], sys.argv[1:])
