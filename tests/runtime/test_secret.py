"""
The user's key: made once, read ever after, and trusted only if nobody else can have it.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checkpoint._runtime.secret import load_secret
from checkpoint.errors import StoreError, UntrustedError

REPOSITORY = Path(__file__).resolve().parent.parent.parent

unix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other owners and modes")


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return where the key will be; its directory does not exist yet."""
    path = tmp_path / "config" / "checkpoint" / "key"
    monkeypatch.setenv("CHECKPOINT_KEY_FILE", str(path))
    return path


def test_key_is_made_once(key: Path) -> None:
    """The first call makes the key, later ones return it."""
    first = load_secret()
    assert (32, first, first) == (len(first), load_secret(), key.read_bytes())


def test_keys_differ(key: Path) -> None:
    """A new key is random."""
    first = load_secret()
    key.unlink()
    assert first != load_secret()


@unix
def test_key_is_only_for_its_owner(key: Path) -> None:
    """Whatever the umask, nobody else can read the key, nor look into a directory made for it."""
    before = os.umask(0)
    try:
        load_secret()
    finally:
        os.umask(before)
    assert (0o600, 0o700) == (stat.S_IMODE(key.stat().st_mode), stat.S_IMODE(key.parent.stat().st_mode))


def test_nothing_else_is_left_behind(key: Path) -> None:
    """Making the key leaves one file."""
    load_secret()
    assert [key] == list(key.parent.iterdir())


@unix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_key_that_others_can_use_is_refused(key: Path, mode: int) -> None:
    """A key that others may have read proves nothing."""
    load_secret()
    key.chmod(mode)
    with pytest.raises(UntrustedError, match=f"{mode:04o}") as caught:
        load_secret()
    assert "untrusted-key" == caught.value.slug


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_key_of_another_user_is_refused(key: Path) -> None:
    """A key that somebody else made proves nothing."""
    load_secret()
    os.chown(key, 12345, -1)
    with pytest.raises(UntrustedError, match="belongs to user 12345"):
        load_secret()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_key_of_another_size_is_refused(key: Path, size: int) -> None:
    """A damaged key is not replaced: values that were pickled with it would be lost without a word."""
    load_secret()
    key.write_bytes(bytes(size))
    with pytest.raises(UntrustedError):
        load_secret()
    assert size == key.stat().st_size


@unix
def test_link_in_place_of_the_key_is_refused(key: Path, tmp_path: Path) -> None:
    """A symbolic link is not followed."""
    load_secret()
    key.rename(tmp_path / "elsewhere")
    key.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        load_secret()


@unix
def test_device_in_place_of_the_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no file is no key."""
    monkeypatch.setenv("CHECKPOINT_KEY_FILE", "/dev/zero")
    with pytest.raises(UntrustedError):
        load_secret()


def test_place_that_cannot_hold_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no file can be made, the error names the variable to set."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHECKPOINT_KEY_FILE", str(tmp_path / "file" / "key"))
    with pytest.raises(StoreError, match="CHECKPOINT_KEY_FILE") as caught:
        load_secret()
    assert "unusable-key" == caught.value.slug


@pytest.mark.parametrize("links", [True, False])
def test_without_hard_links_the_key_is_made_all_the_same(
    key: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """File systems without hard links hold a key too."""
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    assert load_secret() == load_secret()


def refuse(source: str, target: str) -> None:
    """Be a file system without hard links."""
    raise PermissionError(1, "Operation not permitted")


def test_without_hard_links_the_quicker_process_wins(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that another process made meanwhile is the key."""

    def be_late(source: str, target: str) -> None:
        key.write_bytes(b"k" * 32)
        key.chmod(0o600)
        refuse(source, target)

    monkeypatch.setattr(os, "link", be_late)
    assert b"k" * 32 == load_secret()


def test_key_that_is_being_written_is_waited_for(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links there is a moment in which the key's file is empty."""
    load_secret()
    expected = key.read_bytes()
    key.write_bytes(b"")
    monkeypatch.setattr(time, "sleep", lambda seconds: key.write_bytes(expected))
    assert expected == load_secret()


@pytest.mark.process
def test_processes_that_begin_at_once_make_the_same_key(key: Path) -> None:
    """Of several first calls at the same time one makes the key, and all return it."""
    code = "import sys; from checkpoint._runtime.secret import load_secret; print(load_secret().hex())"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(6)
    ]
    assert 1 == len({child.communicate()[0] for child in children})
    assert 32 == key.stat().st_size
