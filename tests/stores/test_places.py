"""
Where runs may be kept: modes, owners, links, full and read-only disks, and homes that are none.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from checkpoint.errors import StoreError
from checkpoint.stores import FileStore, _privacy

REPOSITORY = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other owners and modes")

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files to another user"
)


def can_mount() -> bool:
    """Return whether a file system can be mounted where nobody else sees it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_modes_do_not_depend_on_the_umask(home: Path, writer: Any, umask: int) -> None:
    """Directories are 0700 and files 0600, whatever the umask."""
    before = os.umask(umask)
    try:
        session = writer(FileStore(home)).begin()
        session.put(b"abc")
        session.journal.publish({})
        session.close()
        with (session.path / "journal.jsonl").open("ab") as file:
            file.write(b"torn")
        writer(FileStore(home)).close()
    finally:
        os.umask(before)
    modes = {
        (stat.S_ISDIR(path.stat().st_mode), stat.S_IMODE(path.stat().st_mode)) for path in (home, *home.rglob("*"))
    }
    assert {(True, 0o700), (False, 0o600)} == modes
    names = ["journal.jsonl", "journal.torn", "lock", "payloads", "state.json"]
    assert names == sorted(path.name for path in session.path.iterdir())


def slug_of_opening(home: Path, writer: Any) -> str:
    """Return the slug of the error with which opening fails; it must name the environment variable."""
    with pytest.raises(StoreError) as caught:
        writer(FileStore(home))
    assert "CHECKPOINT_HOME" in str(caught.value)
    return caught.value.slug


@pytest.mark.parametrize("level", ["", "runs", "runs/align"])
def test_world_writable_directory_is_refused(home: Path, writer: Any, level: str) -> None:
    """A directory in which everybody can write is not used."""
    writer(FileStore(home)).begin().close()
    (home / level).chmod(0o777)
    assert "not-private-directory" == slug_of_opening(home, writer)


def test_world_writable_run_is_refused(home: Path, writer: Any) -> None:
    """A run in whose directory everybody can write is not opened."""
    session = writer(FileStore(home)).begin().close()
    session.path.chmod(0o777)
    assert "not-private-directory" == slug_of_opening(home, writer)


def test_world_writable_journal_is_refused(home: Path, writer: Any) -> None:
    """A journal that everybody can write is not read."""
    session = writer(FileStore(home)).begin().close()
    (session.path / "journal.jsonl").chmod(0o666)
    assert "not-private-directory" == slug_of_opening(home, writer)


def test_world_writable_parent_is_refused(tmp_path: Path, writer: Any) -> None:
    """A directory that everybody can exchange is not used."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert "not-private-directory" == slug_of_opening(tmp_path / "open" / "home", writer)
    assert not (tmp_path / "open" / "home").exists()


def test_sticky_parent_is_trusted(tmp_path: Path, writer: Any) -> None:
    """In a sticky directory nobody can exchange what belongs to somebody else."""
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    assert writer(FileStore(tmp_path / "sticky" / "home")).journal.private


@needs_root
def test_sticky_parent_of_another_user_is_used_but_not_private(tmp_path: Path, writer: Any) -> None:
    """The owner of a sticky directory can exchange everything in it."""
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    os.chown(tmp_path / "sticky", 12345, -1)
    assert not writer(FileStore(tmp_path / "sticky" / "home")).journal.private


@pytest.mark.parametrize("level", ["", "runs", "runs/align"])
def test_group_writable_directory_is_used_but_not_private(
    home: Path, writer: Any, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that a group shares holds runs, and nothing in it is unpickled."""
    monkeypatch.setattr(_privacy, "_is_own_group", lambda group: False)
    writer(FileStore(home)).begin().close()
    (home / level).chmod(0o770)
    assert not writer(FileStore(home)).journal.private


def test_group_of_one_is_private(home: Path, writer: Any) -> None:
    """Many systems give every user a group of their own: then the group's right is the user's."""
    import grp
    import pwd

    user = pwd.getpwuid(os.geteuid())
    if grp.getgrgid(user.pw_gid).gr_name != user.pw_name or grp.getgrgid(user.pw_gid).gr_mem:
        pytest.skip("this user shares its group")
    home.mkdir()
    os.chown(home, -1, user.pw_gid)
    home.chmod(0o770)
    assert writer(FileStore(home)).journal.private


@needs_root
@pytest.mark.parametrize("level", ["", "runs", "runs/align"])
def test_foreign_directory_is_refused(home: Path, writer: Any, level: str) -> None:
    """A directory of another user is not used."""
    writer(FileStore(home)).begin().close()
    os.chown(home / level, 12345, -1)
    assert "not-private-directory" == slug_of_opening(home, writer)


@needs_root
def test_foreign_journal_is_refused(home: Path, writer: Any) -> None:
    """A journal of another user is not read."""
    session = writer(FileStore(home)).begin().close()
    os.chown(session.path / "journal.jsonl", 12345, -1)
    assert "not-private-directory" == slug_of_opening(home, writer)


@needs_root
def test_foreign_parent_is_used_but_not_private(tmp_path: Path, writer: Any) -> None:
    """In another user's directory, as in a container, plain data is kept and nothing is unpickled."""
    (tmp_path / "foreign").mkdir()
    os.chown(tmp_path / "foreign", 12345, -1)
    assert not writer(FileStore(tmp_path / "foreign" / "home")).journal.private


def test_own_link_to_the_home_is_followed(tmp_path: Path, writer: Any) -> None:
    """A user may keep runs on another disk through a link of their own."""
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    session = writer(FileStore(tmp_path / "link")).begin()
    assert (session.journal.private, True) == (True, (tmp_path / "disk" / "runs").is_dir())


@needs_root
def test_foreign_link_is_refused(tmp_path: Path, writer: Any) -> None:
    """Where a link of somebody else leads is for them to say, so that it is not followed."""
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    os.chown(tmp_path / "link", 12345, -1, follow_symlinks=False)
    assert "not-private-directory" == slug_of_opening(tmp_path / "link", writer)


def test_link_below_the_home_is_refused(home: Path, writer: Any, tmp_path: Path) -> None:
    """Below the home there are no links."""
    writer(FileStore(home)).begin().close()
    (home / "runs").rename(tmp_path / "elsewhere")
    (home / "runs").symlink_to(tmp_path / "elsewhere")
    assert "not-private-directory" == slug_of_opening(home, writer)


def test_missing_directories_are_made(tmp_path: Path, writer: Any) -> None:
    """A home need not exist, nor what is above it."""
    session = writer(FileStore(tmp_path / "a" / "b" / "home")).begin()
    assert session.path.is_dir()
    assert 0o700 == stat.S_IMODE((tmp_path / "a").stat().st_mode)


def test_relative_home_stays_where_it_was(tmp_path: Path, writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that changes its directory does not lose its runs."""
    monkeypatch.chdir(tmp_path)
    store = FileStore("state")
    monkeypatch.chdir("/")
    assert str(writer(store).path).startswith(str(tmp_path / "state"))


@pytest.mark.parametrize("place", ["file", "file/below", "missing/proc"])
def test_home_that_cannot_be_one_is_refused(tmp_path: Path, writer: Any, place: str) -> None:
    """A file, something below a file and a directory that cannot be made are refused."""
    (tmp_path / "file").write_text("")
    home = Path("/proc/checkpoint") if place == "missing/proc" else tmp_path / place
    assert "unusable-home" == slug_of_opening(home, writer)


# Works on a mounted disk: fills it, or has it mounted read-only, or gets room again.
ON_DISK = """
import hashlib, json, os, sys
from checkpoint._core.lines import Chain
from checkpoint.errors import StoreError
from checkpoint.stores import FileStore

home, deed = sys.argv[1:]
run, journal = FileStore(home).open("align", key=None, fresh=False, once=False)
chain = Chain.resume(journal.records())
known = chain.count
def save(members, key="a", kind="completed"):
    line = chain.seal(key, kind, members)
    journal.append(line)
    chain.accept(line)
    journal.sync(line.number)
if not chain.count:
    save('"format":1,"workflow":"align","key_of_run":null,"command":["a"],"nonce":"1"', "run", "created")
try:
    while deed == "fill":
        save('"value":"' + "x" * 3000 + '"')
    while deed == "fill-payloads":
        data = os.urandom(9000)
        journal.put(hashlib.sha256(data).hexdigest(), memoryview(data))
        save('"value":1')
except StoreError as error:
    print(error.slug, chain.count, known)
else:
    print("fine", chain.count, known)
"""


def on_disk(tmp_path: Path, commands: str) -> list[str]:
    """Run shell commands in which `$D` is a disk of 64 KiB that only they see, and `work` is the program above."""
    program = tmp_path / "program.py"
    program.write_text(ON_DISK)
    (tmp_path / "disk").mkdir()
    prelude = f"""
        set -e; D={tmp_path}/disk; work() {{ {sys.executable} {program} "$@"; }}
        mount -t tmpfs -o size=64k,mode=700 tmpfs $D
    """
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", prelude + commands], capture_output=True, text=True, env=environment, timeout=60
    )
    return (done.stdout + done.stderr).splitlines()


@pytest.mark.process
@pytest.mark.skipif(not can_mount(), reason="cannot mount a small disk here")
@pytest.mark.parametrize("deed", ["fill", "fill-payloads"])
def test_full_disk_loses_nothing(tmp_path: Path, deed: str) -> None:
    """On a disk that fills up every acknowledged record is kept, and with room again the run goes on."""
    commands = f"work $D/home {deed}; work $D/home look || true; mount -o remount,size=1m $D; work $D/home look"
    full, *_, after = on_disk(tmp_path, commands)
    assert "disk-full" == full.split()[0]
    assert ["fine", full.split()[1], full.split()[1]] == after.split()


@pytest.mark.process
@pytest.mark.skipif(not can_mount(), reason="cannot mount a small disk here")
def test_disk_that_is_full_from_the_start_is_noticed(tmp_path: Path) -> None:
    """On a full disk nothing is begun, and the error names the way out."""
    lines = on_disk(tmp_path, "head -c 100000 /dev/zero > $D/filler || true; work $D/home look")
    assert "disk full" in lines[-1]
    assert "CHECKPOINT_HOME" in lines[-1] or "Make room" in lines[-1]


@pytest.mark.process
@pytest.mark.skipif(not can_mount(), reason="cannot mount a small disk here")
def test_read_only_disk_is_noticed_when_opening(tmp_path: Path) -> None:
    """A disk that cannot be written is refused before anything runs, for new and for existing runs."""
    new = on_disk(tmp_path, "mount -o remount,ro $D; work $D/home look")[-1]
    (tmp_path / "disk").rmdir()
    old = on_disk(tmp_path, "work $D/home look; mount -o remount,ro $D; work $D/home look")[-1]
    assert ["Read-only file system" in line and "CHECKPOINT_HOME" in line for line in (new, old)] == [True, True]


def test_read_only_directory_is_refused(home: Path, writer: Any) -> None:
    """A directory that this user may not write is refused."""
    if os.geteuid() == 0:
        pytest.skip("root can write in every directory")
    home.mkdir()
    home.chmod(0o500)
    assert "unusable-home" == slug_of_opening(home, writer)
