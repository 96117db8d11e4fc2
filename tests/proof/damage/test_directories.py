"""
Runs put back from older copies, copied, renamed, or with files of theirs missing.

What can be seen is refused.  What cannot be seen, because nothing that is left tells of it, is continued from where
it was, with right results: the tests say which is which, and why.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from checkpoint._core.lines import Mark
from checkpoint.errors import DamagedRunError
from tests.proof.damage.scene import JOURNAL, LOCK, SUMMARY, Scene, program, world


def test_older_journals_beside_the_newer_mark(scene: Scene, faults: Any) -> None:
    """A journal that was put back is refused at every age: the mark knows that there was more."""
    ages = range(1, len(scene.lines) - 1)
    outcomes = {scene.attempt(JOURNAL, b"".join(scene.lines[:age])) for age in ages}

    assert {"refused"} == outcomes
    faults.count("an older copy of a journal put back", len(ages), **scene.outcomes)


@pytest.mark.parametrize("mark", ["older too", "missing"])
def test_older_runs(scene: Scene, mark: str) -> None:
    """A run put back whole, or whose mark is lost too, cannot be told from a crash at that time: it goes on there."""
    bodies = completed_bodies(scene)
    ages = range(2, len(scene.lines))
    for age in ages:
        lines = scene.lines[:age]
        scene.restore({**scene.pristine, JOURNAL: b"".join(lines)})
        scene.write(LOCK, Mark(age, lines[-1][-19:-3].decode()).format() if mark == "older too" else None)
        found, executed = scene.rerun()
        # Whatever the journal still has is kept; the rest runs again, which a person sees, and draws new values.
        assert [*(body for body, number in bodies if number >= age), "last"] == executed
        assert sum(number < age for _, number in bodies) == matching(scene.truth[0], found[0])
        assert scene.truth[1] == found[1]


def completed_bodies(scene: Scene) -> list[tuple[str, int]]:
    """Return the bodies whose completion the journal has, in the order they ended, with the line's number."""
    found = []
    for number, line in enumerate(scene.lines):
        if b'"kind":"completed"' in line:
            call = line.partition(b'"call":"')[2]
            found.append((call.partition(b"(")[0].decode(), number))
    return found


def matching(truth: list[Any], found: list[Any]) -> int:
    """Return how many drawn values, inner ones too, are those that were handed out at first."""
    count = 0
    for was, now in zip(truth[:-1], found[:-1], strict=True):
        if isinstance(was, dict):
            count += was["inner"] == now["inner"]
            count += was["drawn"] == now["drawn"]
        else:
            count += was == now
    return count


def test_copied_run_directory(scene: Scene, faults: Any) -> None:
    """A copy of a run beside it, under a later id, is a run of its own, which keeps what the original kept."""
    later = scene.folder.parent / "29991231T235959-abcd"
    scene.copy_to(later)

    assert (scene.truth, ["last"]) == scene.rerun()
    shutil.rmtree(later)
    assert (scene.truth, ["last"]) == scene.rerun()
    faults.count("a run copied", 1, harmless=1)


def test_copied_home(scene: Scene, faults: Any, tmp_path: Path) -> None:
    """A copy of everything, on the same machine or another, is continued like the original."""
    copy = tmp_path / "copy"
    shutil.copytree(scene.store.home, copy)
    there = type(scene.store)(copy)

    world.executed.clear()
    assert scene.truth == program(there)
    assert ["last"] == world.executed
    assert (scene.truth, ["last"]) == scene.rerun()
    faults.count("a home copied", 1, harmless=1)


@pytest.mark.parametrize("key", [None, "other"])
def test_journal_of_another_run(scene: Scene, faults: Any, key: str | None) -> None:
    """A whole journal of another run of the workflow, with equal calls, is refused: the mark is not its own."""
    other = Scene(Path(scene.store.home), fresh=True, key=key)
    scene.write(JOURNAL, other.journal)
    shutil.rmtree(other.folder)

    # Asked for by its own key: with ours it would be passed over, as a run of another key is.
    scene.options = {"key": key}
    found, executed = scene.rerun()

    assert isinstance(found, DamagedRunError), found
    assert ([], str(scene.folder / JOURNAL)) == (executed, found.path)
    assert (scene.folder / JOURNAL).read_bytes() == other.journal
    faults.count("the journal of another run", 1, refused=1)


def test_run_of_another_workflow(scene: Scene, faults: Any) -> None:
    """A run in the directory of another workflow is refused, naming whose it is."""
    folder = Path(scene.store.location("other"))
    shutil.copytree(scene.folder, folder / scene.folder.name)
    folder.chmod(0o700)

    with pytest.raises(DamagedRunError, match="it is of workflow 'align'"):
        scene.store.open("other", key=None, fresh=False, once=False)
    faults.count("a run of another workflow", 1, refused=1)


@pytest.mark.parametrize(
    ("missing", "outcome"),
    [
        # Derived, and made again.
        ([LOCK], "harmless"),
        ([SUMMARY], "harmless"),
        ([LOCK, SUMMARY], "harmless"),
        # What is left proves that there was a journal.
        ([JOURNAL], "refused"),
        ([JOURNAL, LOCK], "refused"),
        ([JOURNAL, SUMMARY], "refused"),
    ],
)
def test_missing_files(scene: Scene, faults: Any, missing: list[str], outcome: str) -> None:
    """A missing journal is refused as long as anything tells that it was there; what is derived is made again."""
    for name in missing:
        scene.write(name, None)

    assert outcome == scene.check(missing[0], None)
    faults.count("files of a run missing", 1, **scene.outcomes)
