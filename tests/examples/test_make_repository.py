"""Tests of `examples/make_repository.py`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from git_plumbing import UserError
from make_repository import main, make_repository, plan_branches

pytestmark = pytest.mark.git

EXPECTED_LISTING_ID = "4980ec1a16275ebc844cdd01380b61df3921fe7f"


def test_the_same_seed_gives_the_same_commits(copy_of: Any, tmp_path: Path) -> None:
    """Also in a bare repository."""
    make_repository(str(tmp_path / "again"), 40, bare=True)
    bare = copy_of(40, bare=True, name="bare")
    assert copy_of(40).references() == bare.references()
    bare.git("fetch", "--quiet", str(tmp_path / "again"), "refs/heads/*:refs/again/*")
    again = {name.replace("again", "heads", 1): tip for name, tip in bare.references("refs/again").items()}
    assert again == bare.references("refs/heads")


def test_commit_ids_are_the_same_on_every_machine(copy_of: Any) -> None:
    """They are part of what the example promises: change this only together with what is made."""
    work = copy_of(40)
    listing = work.git("for-each-ref", "--format=%(objectname) %(refname)")
    assert EXPECTED_LISTING_ID == work.git("hash-object", "--stdin", feed=listing)


def test_another_seed_gives_other_branches() -> None:
    """The number of each kind stays."""
    one, other = plan_branches(40, 1), plan_branches(40, 2)
    assert one != other
    assert Counter(planned.kind for planned in one) == Counter(planned.kind for planned in other)


def test_trouble_comes_in_the_planned_shares() -> None:
    """A tenth conflicts, a twentieth breaks, a tenth is aligned already."""
    kinds = Counter(planned.kind for planned in plan_branches(500, 0))
    assert {"plain": 375, "conflict": 50, "break": 25, "aligned": 50} == kinds


@pytest.mark.parametrize("number", [0, 1, 3, 10])
def test_few_branches_are_possible(number: int) -> None:
    """There are as many as were asked for."""
    assert number == len(plan_branches(number, 0))


def test_a_clean_working_tree_stands_on_main(copy_of: Any) -> None:
    """One can start working in it."""
    work = copy_of(40)
    assert "## main" == work.git("status", "--short", "--branch")


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written into it."""
    (tmp_path / "precious").write_text("x")
    assert 2 == main([str(tmp_path), "--branches", "3"])
    assert "is not an empty directory: give the path of a new one" in capsys.readouterr().err
    assert ["precious"] == [path.name for path in tmp_path.iterdir()]


def test_a_file_is_refused(tmp_path: Path) -> None:
    """It is no directory at all."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is not an empty directory"):
        make_repository(str(tmp_path / "file"), 3)


def test_an_empty_directory_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The user may have made it before."""
    (tmp_path / "new").mkdir()
    assert 0 == main([str(tmp_path / "new"), "--branches", "10"])
    assert "with 10 branches (1 aligned, 1 break, 1 conflict, 7 plain)" in capsys.readouterr().out


def test_five_hundred_branches_are_made_quickly(copy_of: Any) -> None:
    """One process writes them all (the time limit of the test would end a process for each)."""
    assert 500 + 3 == len(copy_of(500).references("refs/heads"))
