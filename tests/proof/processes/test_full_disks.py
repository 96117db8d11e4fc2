"""
A small disk that is full at every place of a run in turn, and a run of which one part after another is read-only.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

SMALL = {"seen": [41, 40000, 6], "nothing": None}
DIGESTS = [hashlib.sha256(random.Random(number).randbytes(300_000)).hexdigest() for number in range(8)]
RESULTS: dict[str, Any] = {"small.py": SMALL, "large.py": [DIGESTS, DIGESTS]}

# tmpfs gives room by pages of 4 KiB.  The small run takes 15 of them, the large one 800.
SIZES_KIB = {"small.py": range(4, 100, 4), "large.py": range(40, 3640, 60)}
FILES = range(2, 30)


def can_mount() -> bool:
    """Return whether a file system can be mounted where nobody else sees it."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not can_mount(), reason="needs root and `unshare -m` to mount a tmpfs")


@pytest.fixture
def secluded(make_warm: Callable[..., Any]) -> Iterator[Any]:
    """Start a warm interpreter with mounts of its own."""
    yield make_warm("unshare", "-m")


def mounted(secluded: Any, farm: Any, name: str, options: str) -> Any:
    """Return a trial whose home is a disk of its own."""
    place = farm.trial(name)
    place.home.mkdir(mode=0o700)
    secluded.command("mount", "-t", "tmpfs", "-o", f"{options},mode=0700", "tmpfs", str(place.home))
    return place


def check_full(secluded: Any, place: Any, program: str, where: str) -> bool:
    """Run on the small disk, then on a large one; returns whether the small one was too small."""
    first = secluded.run(place, program)
    full = first.status != 0
    if full:
        assert 1 == first.status, where
        assert "disk full" in first.err.splitlines()[-1], f"{where}: {first.err}"
    else:
        assert RESULTS[program] == first.result, where
    # Once more without room: what is kept is kept, and nothing is damaged by trying.
    assert secluded.run(place, program).status in (0, 1), where
    assert [] == place.repeated(), where
    secluded.command("mount", "-o", "remount,size=9m,nr_inodes=1000", str(place.home))
    done = secluded.run(place, program)
    assert (0, RESULTS[program]) == (done.status, done.result if done.out else done.err), where
    assert [] == place.repeated(), where
    secluded.command("umount", str(place.home))
    return full


@pytest.mark.parametrize("program", list(RESULTS))
def test_no_room_for_another_page(secluded: Any, farm: Any, faults: Any, program: str) -> None:
    """However much room there is: the error says that the disk is full, and with more room the run goes on."""
    sizes = SIZES_KIB[program]
    full = 0
    for size in sizes:
        place = mounted(secluded, farm, f"size-{size}", f"size={size}k")
        full += check_full(secluded, place, program, f"{program} in {size} KiB")
    assert len(sizes) / 3 < full < len(sizes)
    faults.count("disk full after so many pages", full)


def test_no_room_for_another_file(secluded: Any, farm: Any, faults: Any) -> None:
    """However many files there is room for: the error says that the disk is full, and with room the run goes on."""
    full = 0
    for files in FILES:
        place = mounted(secluded, farm, f"files-{files}", f"size=9m,nr_inodes={files}")
        full += check_full(secluded, place, "small.py", f"{files} files")
    assert len(FILES) / 4 < full < len(FILES)
    faults.count("disk full after so many files", full)


PARTS = [
    *("", "runs", "runs/small", "runs/small/lock"),
    *("runs/small/{run}", "runs/small/{run}/journal.jsonl", "runs/small/{run}/lock", "runs/small/{run}/payloads"),
]


@pytest.mark.parametrize("part", PARTS)
def test_part_that_cannot_be_written(secluded: Any, farm: Any, faults: Any, part: str) -> None:
    """Where one part of a run is read-only, no step runs before that is said; afterwards the run goes on."""
    place = farm.trial("read-only")
    assert -signal.SIGKILL == secluded.run(place, "small.py", STRIKE="outer").status
    (journal,) = place.home.glob("runs/*/*/journal.jsonl")
    (journal.parent / "payloads").mkdir(mode=0o700, exist_ok=True)
    path = str(place.home / part.format(run=journal.parent.name)).rstrip("/")
    secluded.command("mount", "--bind", path, path)
    secluded.command("mount", "-o", "remount,ro,bind", path)
    refused = secluded.run(place, "small.py")
    begun = place.begun()
    assert 1 == refused.status, refused.err
    assert "Read-only file system" in refused.err.splitlines()[-1], refused.err
    # Whether payloads can be kept is seen only when there is one.
    expected = {"outer": 1, "inner": 1, "large": 1} if part.endswith("payloads") else {"outer": 1, "inner": 1}
    assert expected == begun
    secluded.command("umount", path)
    done = secluded.run(place, "small.py")
    assert (0, SMALL) == (done.status, done.result if done.out else done.err)
    assert [] == place.repeated()
    faults.count("a part of a run is read-only", refused=1)
