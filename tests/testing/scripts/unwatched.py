"""Does what its first argument names, without a workflow."""

import os
import signal
import sys
import time


def wait():
    """Wait in short sleeps."""
    while True:
        time.sleep(0.005)


def chatter():
    """Write more than any pipe holds, to both streams."""
    sys.stdout.write("out\n" * 250_000)
    sys.stderr.write("err\n" * 250_000)


def deaf():
    """Say which signals are ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    print("ignored:", [number.name for number in numbers if signal.getsignal(number) is signal.SIG_IGN])


def stubborn():
    """Say that SIGINT came, and go on."""
    signal.signal(signal.SIGINT, lambda number, frame: print("not yet", flush=True))
    print("ready", flush=True)
    wait()


def stop():
    """Stop, as Ctrl-Z would."""
    print("ready", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    wait()


def environment():
    """Say what the tests' guard and the process have put into the environment."""
    for name in ("CHECKPOINT_HOME", "CHECKPOINT_OUTPUT", "PYTEST_CURRENT_TEST", "GIVEN"):
        print(name, os.environ.get(name))
    print("stdin", repr(sys.stdin.read()))
    print("session", os.getsid(0) == os.getpid())


def fail():
    """End with a traceback."""
    raise ValueError("no luck")


globals()[sys.argv[1]]()
