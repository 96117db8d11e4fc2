"""
Where this user's files are, as far as the environment says.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checkpoint._runtime.paths import default_home, key_file, wanted_durability
from checkpoint.errors import StoreError, UsageError

pytest.importorskip("platformdirs")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the home of a user whose environment says nothing about us."""
    for name in (
        "CHECKPOINT_HOME",
        "CHECKPOINT_KEY_FILE",
        "CHECKPOINT_DURABILITY",
        "XDG_STATE_HOME",
        "XDG_CONFIG_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_variable_names_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CHECKPOINT_HOME is where runs are kept."""
    monkeypatch.setenv("CHECKPOINT_HOME", str(tmp_path))
    assert str(tmp_path) == default_home()


def test_relative_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative CHECKPOINT_HOME is one of the directory the program was started in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHECKPOINT_HOME", "state")
    assert str(tmp_path / "state") == default_home()


def test_default_home_is_the_platforms(plain: Path) -> None:
    """Otherwise the platform's directory for a program's state is used."""
    import platformdirs

    assert str(platformdirs.user_state_path("checkpoint", appauthor=False)) == default_home()
    assert default_home().startswith(str(plain))


def test_key_file_is_not_among_the_runs(plain: Path) -> None:
    """Who can write runs does not thereby hold the key."""
    assert not key_file().startswith(default_home() + os.sep)


def test_variable_names_the_key_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CHECKPOINT_KEY_FILE is where the key is."""
    monkeypatch.setenv("CHECKPOINT_KEY_FILE", str(tmp_path / "key"))
    assert str(tmp_path / "key") == key_file()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other homes")
@pytest.mark.parametrize(("find", "variable"), [(default_home, "CHECKPOINT_HOME"), (key_file, "CHECKPOINT_KEY_FILE")])
def test_missing_home_is_refused(plain: Path, monkeypatch: pytest.MonkeyPatch, find: object, variable: str) -> None:
    """A home that does not exist, as in many containers, is not made; the error says what to set."""
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(StoreError, match=variable) as caught:
        find()  # type: ignore[operator]  # both are functions
    assert "unusable-home" == caught.value.slug


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_home_of_another_user_is_refused(plain: Path) -> None:
    """With sudo, nothing is put into the home of whoever called it."""
    os.chown(plain, 12345, -1)
    with pytest.raises(StoreError) as caught:
        default_home()
    assert "unusable-home" == caught.value.slug


@pytest.mark.parametrize("wanted", ["full", "process"])
def test_wanted_durability(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    """CHECKPOINT_DURABILITY is one of two words."""
    monkeypatch.setenv("CHECKPOINT_DURABILITY", wanted)
    assert wanted == wanted_durability()


def test_unknown_durability_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt CHECKPOINT_DURABILITY is not passed over."""
    monkeypatch.setenv("CHECKPOINT_DURABILITY", "none")
    with pytest.raises(UsageError) as caught:
        wanted_durability()
    assert "unknown-durability" == caught.value.slug
