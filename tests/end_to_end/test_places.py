"""
Disks that are read-only or full, and homes that cannot be used or trusted, as a whole program meets them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other file systems and owners")

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def can_mount() -> bool:
    """Return whether a file system can be mounted where nobody else sees it."""
    if not IS_ROOT or shutil.which("unshare") is None:
        return False
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="needs root and `unshare -m` to mount a tmpfs")
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can give a directory to another user")

RUN = 'status=0; "$PYTHON" items.py >> out.txt 2> err{number}.txt || status=$?; echo "$status" >> statuses.txt'


@pytest.fixture
def on_tmpfs(programs: Any, start_shell: Any, tmp_path: Path) -> Callable[..., list[int]]:
    """Return a function that runs shell commands with a small tmpfs as home; it returns the programs' statuses."""

    def run(size: str, *commands: str) -> list[int]:
        programs.copy("items.py")
        home = tmp_path / "home"
        home.mkdir()
        script = "\n".join(
            [
                "set -e",
                f'mount -t tmpfs -o size={size},mode=0700 tmpfs "{home}"',
                f'export CHECKPOINT_HOME="{home}"',
                *commands,
            ]
        )
        child = start_shell("unshare", "-m", "bash", "-c", script)
        _, stderr = child.communicate(timeout=60)
        assert 0 == child.returncode, stderr
        return [int(status) for status in (tmp_path / "statuses.txt").read_text().split()]

    return run


@needs_mount
def test_nothing_runs_on_a_read_only_file_system(programs: Any, on_tmpfs: Any, tmp_path: Path) -> None:
    """Neither a new run nor a continued one does a step where it cannot be saved; once it can, the run goes on."""
    statuses = on_tmpfs(
        "1m",
        'mount -o remount,ro "$CHECKPOINT_HOME"',
        RUN.format(number=1),
        "cp effects.txt effects1.txt",
        'mount -o remount,rw "$CHECKPOINT_HOME"',
        'export STRIKE="before c SIGKILL"',
        RUN.format(number=2),
        "unset STRIKE",
        'mount -o remount,ro "$CHECKPOINT_HOME"',
        RUN.format(number=3),
        "cp effects.txt effects3.txt",
        'mount -o remount,rw "$CHECKPOINT_HOME"',
        RUN.format(number=4),
    )
    assert [1, 137, 1, 0] == statuses
    for number in (1, 3):
        last = (tmp_path / f"err{number}.txt").read_text().splitlines()[-1]
        assert "StoreError: cannot keep runs in" in last and "Read-only file system" in last
    assert "begin" not in (tmp_path / "effects1.txt").read_text()
    assert "begin c" not in (tmp_path / "effects3.txt").read_text()
    assert [1, 1, 1, 1] == [programs.effects()[f"begin {item}"] for item in "abcd"]


@needs_mount
@pytest.mark.parametrize("repeat", ["2000", "5000"], ids=["in-the-journal", "in-payloads"])
def test_full_file_system_loses_nothing(programs: Any, on_tmpfs: Any, tmp_path: Path, repeat: str) -> None:
    """The step that cannot be saved ends in a clear error; with more room the rerun keeps what was saved."""
    items = " ".join(f"item{number:02}" for number in range(60))
    statuses = on_tmpfs(
        "1m",
        f'export REPEAT={repeat} ITEMS="{items}"',
        'head -c 900000 /dev/zero > "$CHECKPOINT_HOME/filler"',
        RUN.format(number=1),
        "cp effects.txt effects1.txt",
        RUN.format(number=2),
        'rm "$CHECKPOINT_HOME/filler"',
        'mount -o remount,size=64m "$CHECKPOINT_HOME"',
        RUN.format(number=3),
    )
    assert [1, 1, 0] == statuses, (tmp_path / "err3.txt").read_text()
    for number in (1, 2):
        last = (tmp_path / f"err{number}.txt").read_text().splitlines()[-1]
        assert "disk full" in last and "Make room, then run the same command again." in last
    ran = [line for line in (tmp_path / "effects1.txt").read_text().splitlines() if line.startswith("begin")]
    effects = programs.effects()
    # Only the last one that ran was not acknowledged.
    assert [1] * (len(ran) - 1) == [effects[line] for line in ran[:-1]]
    assert 1 < len(ran) < 60
    assert f"{len(ran) - 1} steps kept." in (tmp_path / "err3.txt").read_text()
    assert all(effects[f"end {item}"] for item in items.split())


def refused(programs: Any, home: str) -> str:
    """Run the program with a home that cannot be used, and return the last line of its stderr."""
    programs.copy("items.py")
    done = programs.scripts.run("items.py", env={"CHECKPOINT_HOME": home})
    assert 1 == done.returncode, done.stderr
    assert "begin a" not in programs.effects()
    return str(done.stderr.splitlines()[-1])


def test_home_below_a_device_is_refused(programs: Any) -> None:
    """A home that can never be made is named, with the way out, and nothing runs."""
    last = refused(programs, "/dev/null/x")
    assert "StoreError: cannot keep runs in '/dev/null/x'" in last and "Set CHECKPOINT_HOME" in last


def test_home_that_is_a_file_is_refused(programs: Any) -> None:
    """A file in place of the home is named, and is the same afterwards."""
    file = programs.directory / "file"
    file.write_text("mine")
    last = refused(programs, str(file))
    assert f"cannot keep runs in {str(file)!r}" in last and "Not a directory" in last
    assert "mine" == file.read_text()


def test_home_in_a_closed_directory_is_refused(programs: Any, start_shell: Any) -> None:
    """A directory in which this user may make nothing is named, and nothing runs."""
    programs.copy("items.py")
    closed = programs.directory / "closed"
    closed.mkdir(mode=0o500)
    prefix = ""
    if IS_ROOT:
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv to take root's privilege to write everywhere")
        prefix = "setpriv --bounding-set=-dac_override,-dac_read_search "
    child = start_shell("sh", "-c", f'CHECKPOINT_HOME="{closed}/home" exec {prefix}"$PYTHON" items.py')
    _, stderr = child.communicate(timeout=60)
    assert 1 == child.returncode, stderr
    last = stderr.splitlines()[-1]
    assert "StoreError: cannot keep runs in" in last and "Permission denied" in last
    assert "begin a" not in programs.effects()


def test_world_writable_home_is_refused(programs: Any) -> None:
    """A home in which everybody can write is not trusted: nothing runs, nothing in it changes, and it is not mended."""
    programs.items(status=-9, STRIKE="before b SIGKILL")
    programs.home.chmod(0o777)
    files = programs.snapshot()
    _, stderr = programs.items(status=1)
    last = stderr.splitlines()[-1]
    assert f"StoreError: cannot trust {str(programs.home)!r}: everybody can write in it" in last
    assert (files, 0o777, 0) == (
        programs.snapshot(),
        programs.home.stat().st_mode & 0o777,
        programs.effects()["begin b"],
    )


@needs_root
def test_home_of_another_user_is_refused(programs: Any) -> None:
    """A home that belongs to another user is not trusted: nothing runs, and nothing in it changes."""
    programs.items(status=-9, STRIKE="before b SIGKILL")
    os.chown(programs.home, 65534, 65534)
    files = programs.snapshot()
    _, stderr = programs.items(status=1)
    last = stderr.splitlines()[-1]
    assert f"StoreError: cannot trust {str(programs.home)!r}: it belongs to user 65534" in last
    assert (files, 0) == (programs.snapshot(), programs.effects()["begin b"])
    os.chown(programs.home, 0, 0)
    assert {"done": ["a", "b", "c", "d"]} == programs.items()[0]["state"]
