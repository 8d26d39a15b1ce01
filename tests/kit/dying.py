"""A broker one of whose threads gets an exception from outside when SIGUSR1 comes: `dying.py THREAD EXCEPTION ARGUMENTS...`."""

from __future__ import annotations

import builtins
import ctypes
import signal
import sys
import threading

from newswire.cli.main import main

prefix, kind = sys.argv[1], getattr(builtins, sys.argv[2])


def strike(number: int, frame: object) -> None:
    """Raise it in the first thread whose name begins like that, wherever it is."""
    thread = next(thread for thread in threading.enumerate() if thread.name.startswith(prefix))
    struck = ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(kind))
    print(f"struck {thread.name}: {struck}", flush=True)


signal.signal(signal.SIGUSR1, strike)
sys.argv = ["newswire", *sys.argv[3:]]
main()
