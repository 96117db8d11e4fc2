"""
How a test's program is started: its command, its environment, the files that take its output.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping

from checkpoint._runtime.paths import HOME_VARIABLE, KEY_FILE_VARIABLE
from checkpoint.errors import UsageError

# A program that is started with one of these ignored stays deaf to it: so does Python, and so does this library.
_WANTED = [
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if (number := getattr(signal, name, None)) is not None
]

# Becomes the program, with the signals in its first argument at their defaults.  Not a function for the forked child
# to call: with other threads around, that is not safe.
_RESET = """\
import os, signal, sys
for number in map(int, sys.argv[1].split(",")):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[2:])
"""

# What Python ignores in its own processes, and `subprocess` puts back in a program that is started directly.
_PYTHONS = ("SIGPIPE", "SIGXFSZ")


def misuse(message: str, value: object) -> UsageError:
    """Return the error for a process that is used in a way that cannot work."""
    return UsageError(message, slug="script-process", value=value)


def check_script(words: list[str], cwd: str) -> None:
    """
    Refuse a program that is not there, which else would only be seen in the child's stderr.

    Raises:
        UsageError: There is no such script.
    """
    script = words[0]
    if not os.path.isdir(cwd):
        raise misuse(f"cannot start {script!r} in {cwd!r}: there is no such directory.", cwd)
    if script == "-m":
        if len(words) < 2:
            raise misuse("'-m' needs the name of a module: ScriptProcess('-m', 'package.module').", script)
        return
    if os.path.exists(os.path.join(cwd, script)):
        return
    elsewhere = os.path.abspath(script)
    hint = f" There is {elsewhere!r}: give that path." if os.path.exists(elsewhere) else ""
    raise misuse(f"there is no script {os.path.join(cwd, script)!r}.{hint}", script)


def command(words: list[str]) -> list[str]:
    """Return the command line; signals that this process ignores are at their defaults in the program."""
    program = [sys.executable, *words]
    ignored = [number for number in _WANTED if signal.getsignal(number) is signal.SIG_IGN]
    if not ignored:
        return program
    numbers = [*ignored, *(getattr(signal, name) for name in _PYTHONS if hasattr(signal, name))]
    return [sys.executable, "-I", "-S", "-c", _RESET, ",".join(str(int(number)) for number in numbers), *program]


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """
    Return the environment of the program: this one's, as a user's program would find it, with `changes`.

    Raises:
        UsageError: It does not say where runs and keys are kept.
    """
    # Unbuffered, so that what it prints can be waited for.
    environ = {**os.environ, "CHECKPOINT_OUTPUT": "lines", "PYTHONUNBUFFERED": "1"}
    # Below pytest the library is silent by default.
    environ.pop("PYTEST_CURRENT_TEST", None)
    for name, value in changes.items():
        environ.pop(name, None)
        if value is not None:
            environ[name] = value
    for name in (HOME_VARIABLE, KEY_FILE_VARIABLE):
        if not environ.get(name):
            raise misuse(
                f"{name} is not set, so that the program would work on your own runs. Start it inside "
                "`with checkpoint.testing.Sandbox():`, or under pytest with the plugin on.",
                name,
            )
    return environ


def signal_number(wanted: int | str) -> int:
    """
    Return the number of a signal that is given by number or by name.

    Raises:
        UsageError: There is none.
    """
    try:
        return signal.Signals[wanted] if isinstance(wanted, str) else signal.Signals(wanted)
    except (KeyError, ValueError):
        raise misuse(f"{wanted!r} is no signal of this system. Give a name such as 'SIGINT'.", wanted) from None


def status_text(status: int) -> str:
    """Write an exit status for people."""
    if status >= 0:
        return f"status {status}"
    try:
        return f"status {status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"status {status}"


class Output:
    """
    A file without a name that takes what a program writes.

    Attributes:
        file: What the program is given; it shares its position, so that it is read without moving that.
    """

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 -- open as long as the process
        self._text: str | None = None

    def read(self, start: int) -> bytes:
        """Return what was written from byte `start` on."""
        parts: list[bytes] = []
        while part := os.pread(self.file.fileno(), 1 << 20, start):
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def text(self) -> str:
        """Return everything that was written, also after `close`."""
        return self._text if self._text is not None else self.read(0).decode("utf-8", "backslashreplace")

    def close(self) -> None:
        """Keep the text, and give the file up; idempotent."""
        self._text = self.text()
        self.file.close()


class Search:
    """Looks for a text in outputs that grow, without reading again what it has seen."""

    def __init__(self, text: str, outputs: Iterable[Output]) -> None:
        self._wanted = text.encode()
        self._seen = dict.fromkeys(outputs, 0)

    def found(self) -> bool:
        """Whether the text was written."""
        for output, seen in self._seen.items():
            # What was seen may end with the text's beginning.
            start = max(0, seen - len(self._wanted))
            data = output.read(start)
            if self._wanted in data:
                return True
            self._seen[output] = start + len(data)
        return False
