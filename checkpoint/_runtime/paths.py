"""
Where this user's files are kept, and how safely: what the environment and the platform's conventions say.

It must never make anything, and never fall back to a directory that is shared, such as `/tmp`.
"""

from __future__ import annotations

import os
import sys

from checkpoint.errors import StoreError, UsageError

HOME_VARIABLE = "CHECKPOINT_HOME"
DURABILITY_VARIABLE = "CHECKPOINT_DURABILITY"
KEY_FILE_VARIABLE = "CHECKPOINT_KEY_FILE"

_PROGRAM = "checkpoint"


def default_home() -> str:
    """
    Return the directory of this user's runs: `CHECKPOINT_HOME`, or the platform's directory for a program's state.

    Raises:
        StoreError: There is none: the user's home does not exist, or belongs to somebody else.
    """
    if home := os.environ.get(HOME_VARIABLE):
        return os.path.abspath(os.path.expanduser(home))
    # Imported here: its import takes longer than everything else in this module, and CHECKPOINT_HOME spares it.
    import platformdirs

    path = platformdirs.user_state_path(_PROGRAM, appauthor=False)
    _check_home(str(path), HOME_VARIABLE)
    return str(path)


def key_file() -> str:
    """
    Return the file of this user's secret key: `CHECKPOINT_KEY_FILE`, or one in the platform's configuration directory.

    Raises:
        StoreError: There is no place for it, as for `default_home`.
    """
    if path := os.environ.get(KEY_FILE_VARIABLE):
        return os.path.abspath(os.path.expanduser(path))
    import platformdirs

    directory = platformdirs.user_config_path(_PROGRAM, appauthor=False)
    _check_home(str(directory), KEY_FILE_VARIABLE)
    return str(directory / "key")


def wanted_durability() -> str:
    """
    Return the durability that `CHECKPOINT_DURABILITY` asks for, or `full`.

    Raises:
        UsageError: It asks for one that does not exist.
    """
    wanted = os.environ.get(DURABILITY_VARIABLE) or "full"
    if wanted not in ("full", "process"):
        raise UsageError(
            f"{DURABILITY_VARIABLE}={wanted!r} is unknown. Set it to 'full' or 'process'.",
            slug="unknown-durability",
            value=wanted,
        )
    return wanted


def _check_home(path: str, variable: str) -> None:
    """Refuse a directory inside a home that is not there (containers), or not this user's (sudo)."""
    home = os.path.expanduser("~")
    if sys.platform == "win32" or not os.path.abspath(path).startswith(os.path.join(home, "")):
        return
    try:
        owner = os.stat(home).st_uid
    except OSError as error:
        raise _no_home(home, f"it cannot be used ({os.strerror(error.errno or 0)})", variable) from error
    # The root directory as a home is how containers say that there is none; whether it can be written shows later.
    if owner != os.geteuid() and home != os.sep:
        reason = f"it belongs to user {owner}, and this program runs as user {os.geteuid()}"
        raise _no_home(home, reason, variable)


def _no_home(home: str, reason: str, variable: str) -> StoreError:
    return StoreError(
        f"cannot keep files in the home directory {home!r}: {reason}. "
        f"Set {variable} to a {'file' if variable == KEY_FILE_VARIABLE else 'directory'} that is yours.",
        slug="unusable-home",
        path=home,
    )
