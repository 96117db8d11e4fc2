"""
What names a store, and what does not.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from checkpoint.errors import UsageError
from checkpoint.stores import FileStore, MemoryStore, __all__, open_store


def test_public_names() -> None:
    """The package shows these names and no others."""
    assert ["FileStore", "Journal", "MemoryStore", "Store", "open_store"] == __all__


def test_default_is_the_users_own_directory(guard: Path) -> None:
    """Without a name, runs are kept where CHECKPOINT_HOME says."""
    assert FileStore(os.environ["CHECKPOINT_HOME"]).home == open_store().location()


def test_naming_a_store_makes_nothing(tmp_path: Path) -> None:
    """Nothing is made before it is used."""
    open_store(tmp_path / "state").runs()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [str, Path, lambda path: f"file://{path}", lambda path: f"file://localhost{path}"])
def test_directory(tmp_path: Path, make: Any) -> None:
    """A path and a file URL name a directory."""
    assert str(tmp_path / "state") == open_store(make(tmp_path / "state")).location()


def test_file_url_is_decoded(tmp_path: Path) -> None:
    """A URL may hold encoded letters."""
    assert str(tmp_path / "a b") == open_store(f"file://{tmp_path}/a%20b").location()


def test_users_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tilde is the home directory, as in a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(tmp_path / "state") == open_store("~/state").location()


def test_memory() -> None:
    """`memory:` names a new store in memory."""
    assert isinstance(open_store("memory:"), MemoryStore)


@pytest.mark.parametrize("store", [MemoryStore(), FileStore("state")])
def test_store_is_returned_as_it_is(store: Any) -> None:
    """A store names itself."""
    assert store is open_store(store)


@pytest.mark.parametrize(
    "spec", ["", "postgresql://host/name", "s3://bucket", "file://host/path", "file:relative", 5, b"x", object()]
)
def test_what_names_no_store_is_refused(spec: Any) -> None:
    """Anything else is an error that shows what was given."""
    with pytest.raises(UsageError) as caught:
        open_store(spec)
    assert ("unknown-store", True) == (caught.value.slug, repr(spec) in str(caught.value))


@pytest.mark.parametrize(
    ("options", "slug"),
    [({"durability": "none"}, "unknown-durability"), ({"pickle": "always"}, "unknown-pickle-policy")],
)
def test_unknown_option_is_refused(options: Any, slug: str) -> None:
    """An option with a made-up value is an error."""
    with pytest.raises(UsageError) as caught:
        FileStore("state", **options)
    assert slug == caught.value.slug


def test_durability_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKPOINT_DURABILITY is the default, and an argument overrides it."""
    monkeypatch.setenv("CHECKPOINT_DURABILITY", "process")
    assert ("process", "full") == (FileStore("state").durability, FileStore("state", durability="full").durability)


def test_full_durability_is_the_default() -> None:
    """Without being told, a store survives a power cut."""
    assert "full" == FileStore("state").durability


def test_store_shows_what_it_is(tmp_path: Path) -> None:
    """The representation names the directory and the options."""
    assert f"FileStore('{tmp_path}', durability='full', pickle='never')" == repr(FileStore(tmp_path, pickle="never"))
    assert "<MemoryStore of 0 runs>" == repr(MemoryStore())


def test_file_store_can_be_sent_to_another_process(tmp_path: Path) -> None:
    """A store in a directory is the same store in a worker."""
    store = pickle.loads(pickle.dumps(FileStore(tmp_path, durability="process")))
    assert (str(tmp_path), "process") == (store.home, store.durability)


def test_importing_is_cheap() -> None:
    """Importing the stores brings no optional and no heavy package."""
    code = "import sys, checkpoint.stores; print(*{'platformdirs', 'asyncio', 'numpy', 'cloudpickle'} & {*sys.modules})"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "" == done.stdout.strip()
