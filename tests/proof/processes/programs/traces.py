"""
What the programs leave behind for the tests: a line for each thing they did, in the order in which it happened.

Lines are appended by `writev`, which the library uses for nothing, so that a fault injected into the library's calls
never strikes a program's own.
"""

import os

_descriptor = -1


def open_traces(path):
    """Open the file; done before the program begins, so that none of its own calls makes a file."""
    global _descriptor
    _descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def leave(what, name):
    """Leave a trace that outlives the process."""
    os.writev(_descriptor, [f"{what} {name} {os.getpid()}\n".encode()])


def say(text):
    """Print a line."""
    os.writev(1, [f"{text}\n".encode()])
