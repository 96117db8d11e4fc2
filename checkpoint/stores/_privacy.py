"""
Decide whether anybody but this user can have written what lies in a directory.

It must never mend a directory's mode or owner: what was possible yesterday may have been used already.
"""

from __future__ import annotations

import os
import stat
import sys

from checkpoint.stores._failures import not_private
from checkpoint.stores._files import Files

_GROUP = stat.S_IWGRP
_WORLD = stat.S_IWOTH


def check_way(files: Files, home: str) -> bool:
    """
    Check every existing directory above `home`, and every link on the way to it.

    Returns:
        False if somebody else could put another directory in place of `home`, so that nothing in it is unpickled.

    Raises:
        StoreError: Everybody could, or a link belongs to somebody else.
    """
    if sys.platform == "win32":
        return True
    for path in _upwards(home):
        facts = _maybe(files, path, follow=False)
        if facts is not None and stat.S_ISLNK(facts.st_mode) and not _trusted(facts.st_uid):
            raise not_private(path, f"it is a symbolic link that belongs to user {facts.st_uid}")
    private = True
    for path in _upwards(os.path.realpath(home))[1:]:
        facts = _maybe(files, path, follow=True)
        if facts is None:
            continue
        # A container often runs as root in a directory of the user outside it: plain data is safe enough there.
        private = private and _trusted(facts.st_uid)
        # The sticky bit keeps others from exchanging what is in the directory, but not the directory's owner.
        if facts.st_mode & stat.S_ISVTX:
            continue
        if facts.st_mode & _WORLD:
            raise not_private(path, "everybody can write in it")
        private = private and not _shared(facts)
    return private


def check_directory(files: Files, path: str, *, follow: bool = False) -> bool:
    """
    Check a directory that holds runs; `follow` allows the link of a trusted owner in its place.

    Returns:
        False if a group can write in it, so that nothing in it is unpickled.

    Raises:
        StoreError: It belongs to somebody else, or everybody can write in it, or it is no directory.
        OSError: It cannot be looked at.
    """
    facts = files.stat(path) if follow else files.lstat(path)
    if stat.S_ISLNK(facts.st_mode):
        raise not_private(path, "it is a symbolic link, where a directory of this library should be")
    if not stat.S_ISDIR(facts.st_mode):
        raise NotADirectoryError(20, "Not a directory", path)
    return check_facts(path, facts)


def check_facts(path: str, facts: os.stat_result) -> bool:
    """Check what holds for directories and files of runs alike: owner and mode; see `check_directory`."""
    if sys.platform == "win32":
        return True
    if facts.st_uid != os.geteuid():
        raise not_private(path, f"it belongs to user {facts.st_uid}, and this program runs as user {os.geteuid()}")
    if facts.st_mode & _WORLD:
        raise not_private(path, "everybody can write in it")
    return not _shared(facts)


def _trusted(user: int) -> bool:
    return sys.platform != "win32" and user in (0, os.geteuid())


def _shared(facts: os.stat_result) -> bool:
    """Return whether a group of more than this user can write."""
    return bool(facts.st_mode & _GROUP) and not _is_own_group(facts.st_gid)


def _is_own_group(group: int) -> bool:
    """Return whether `group` is the private group that many systems give each user, which has no other member."""
    if sys.platform == "win32":
        return False
    import grp
    import pwd

    try:
        user = pwd.getpwuid(os.geteuid())
        entry = grp.getgrgid(group)
    except KeyError:
        return False
    return group == user.pw_gid and entry.gr_name == user.pw_name and not set(entry.gr_mem) - {user.pw_name}


def _upwards(path: str) -> list[str]:
    """Return `path` and every directory above it, the root last."""
    found = [path]
    while (above := os.path.dirname(path)) != path:
        path = above
        found.append(path)
    return found


def _maybe(files: Files, path: str, *, follow: bool) -> os.stat_result | None:
    try:
        return files.stat(path) if follow else files.lstat(path)
    except FileNotFoundError:
        return None
