"""
Names of directories and ids of runs.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint.stores._names import (
    MAX_NAME_BYTES,
    directory_name,
    is_run_id,
    new_run_id,
    short_id,
    workflow_name,
)

NOW = 1_795_343_467.0  # 2026-11-22T10:31:07Z


def digits(*values: str) -> object:
    """Return a source of digits that gives these in turn."""
    found = iter(values)
    return lambda width: next(found)


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        ("align", "align"),
        ("align-2_x.y", "align-2_x.y"),
        ("a/b", "a%2Fb"),
        ("a b", "a%20b"),
        ("a%2fb", "a%252fb"),
        ("a~b", "a%7Eb"),
        ("ä", "%C3%A4"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("end.", "end%2E"),
        ("con", "%63on"),
        ("lpt1.txt", "%6Cpt1.txt"),
        ("console", "console"),
    ],
)
def test_directory_names(workflow: str, expected: str) -> None:
    """Plain names stay as they are; the rest is encoded."""
    assert expected == directory_name(workflow)


@pytest.mark.parametrize("workflow", ["align", "a/b", "ä b", "..", "con"])
def test_directory_name_tells_the_workflow(workflow: str) -> None:
    """What has no suffix can be read back."""
    assert workflow == workflow_name(directory_name(workflow))


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_different_workflows_have_different_directories(one: str, other: str) -> None:
    """Two names never share a directory, on no file system."""
    assert (one == other) == (directory_name(one).lower() == directory_name(other).lower())


@given(st.text(st.characters(codec=None, exclude_categories=()), min_size=1, max_size=300))
def test_directory_names_are_safe(workflow: str) -> None:
    """Every name is short ASCII, and none that a file system treats specially."""
    name = directory_name(workflow)
    assert name.isascii()
    assert 0 < len(name) <= MAX_NAME_BYTES
    assert not set(name) & set('/\\:*?"<>| \0')
    assert name[0] != "." and name[-1] != "."
    assert name.partition(".")[0].lower() not in ("con", "prn", "aux", "nul", "com1", "lpt9")


def test_run_id_shows_the_time_in_utc() -> None:
    """An id begins with the time of its run's creation."""
    assert "20261122T103107-7f3a" == new_run_id([], NOW, digits("7f3a"))


def test_short_id_is_the_last_part() -> None:
    """People type four letters."""
    assert "7f3a" == short_id("20261122T103107-7f3a")


@pytest.mark.parametrize("now", [NOW, NOW - 1e6, NOW + 0.9])
def test_ids_sort_in_the_order_of_creation(now: float) -> None:
    """If the clock stands still or goes backwards, the new id still comes last."""
    first = new_run_id([], NOW, digits("7f3a"))
    assert first < new_run_id([first, "lock"], now, digits("0001"))


def test_short_ids_are_unique_among_the_runs() -> None:
    """Digits that another run has are not given again."""
    assert "20261122T103108-0002" == new_run_id(["20261122T103107-7f3a"], NOW, digits("7f3a", "0002"))


def test_many_runs_get_longer_ids() -> None:
    """When half of the short ids are taken, longer ones are given."""
    widths: list[int] = []
    taken = [f"20261122T103107-{number:04x}" for number in range(0x8000)]
    new_run_id(taken, NOW, lambda width: widths.append(width) or "0123abcd")
    assert [4] == widths


def test_id_after_the_end_of_time() -> None:
    """A time that cannot be counted on leaves the clock's."""
    assert "20261122T103107-0001" == new_run_id(["99991231T235959-ffff"], NOW, digits("0001"))


def test_ids_are_recognised() -> None:
    """Only an id is taken for one."""
    names = ["20261122T103107-7f3a", "20261122T103107-7f3a12bc", "lock", "..", "20261122T103107-7F3A", ""]
    assert [True, True, False, False, False, False] == [is_run_id(name) for name in names]


def test_hundred_runs_in_one_second_sort() -> None:
    """Runs that follow each other quickly sort all the same."""
    runs: list[str] = []
    numbers = itertools.count()
    for _ in range(100):
        runs.append(new_run_id(runs, NOW, lambda width: f"{(next(numbers) * 7919) % 65536:04x}"))
    assert sorted(runs) == runs
