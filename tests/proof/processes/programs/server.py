"""
A warm interpreter: forks a child for each program that it is told to run, which then is an ordinary program.

Starting an interpreter takes a hundred times as long as a fork, and the tests beside this folder kill thousands.  The
library is imported here and never used: no run is opened before the fork.  The child goes on at the end of this file
as the main program, so that its exit status, its last message and its death by Ctrl-C are Python's own.

Requests come as lines of JSON; each is answered by the child's process id, by the child itself when it is about to
begin, and by its status when it has ended.  It stays a zombie until the next line comes, so that a signal sent to it
never reaches another process.
"""

import asyncio
import concurrent.futures.thread
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import traceback

import traces

import checkpoint

# What a child has at hand, as any program that has run for a second.
WARM = (asyncio, concurrent.futures.thread, traceback)

# Shorter than the tests wait, longer than any program takes.
HANGS_AFTER_S = 20

# Lets every process trace the child, where the system otherwise lets only parents do that.
PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = -1


def read_line():
    """Return the next line of stdin, byte by byte: a child reads from where this stops."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(0)
        line += byte
    return line


def reply(answer):
    """Answer the test."""
    os.write(1, f"{answer}\n".encode())


def serve():
    """Fork a child for each request; returns in the child, with its request."""
    while True:
        request = json.loads(read_line())
        if "command" in request:
            reply(subprocess.run(request["command"], stdin=subprocess.DEVNULL).returncode)
            continue
        child = os.fork()
        if not child:
            return request
        reply(child)
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        reply(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
        while read_line() != b"next\n":
            pass  # what a child was told that was killed before it heard it
        os.waitpid(child, 0)


def become(request):
    """Make this process the program's; returns its code once the test says that it may begin."""
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.argv[:] = [request["program"], *request["arguments"]]
    with open(request["program"], "rb") as file:
        code = compile(file.read(), request["program"], "exec")
    traces.open_traces("traces.txt")
    answers = os.dup(1)
    for descriptor, name in ((1, "out.txt"), (2, "err.txt")):
        opened = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(PR_SET_PTRACER_ANY), 0, 0, 0)
    os.write(answers, b"ready\n")
    if request["gate"]:
        read_line()
    os.close(answers)
    # A program that hangs says where, before the test gives up.
    faulthandler.dump_traceback_later(HANGS_AFTER_S)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return code


for layer in ("_core", "_runtime", "stores"):
    package = importlib.import_module(f"checkpoint.{layer}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"checkpoint.{layer}.{module.name}")
for name in checkpoint.__all__:
    getattr(checkpoint, name)
importlib.import_module("checkpoint._block")
importlib.import_module("checkpoint._core.codec")
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
gc.freeze()
request = serve()
__file__ = request["program"]
exec(become(request))
