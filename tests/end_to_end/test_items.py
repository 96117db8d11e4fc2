"""
A program that is not quite the same when it is run again: other items, another order, an edited step.
"""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("items", "ran"),
    [
        ("d c b a", {"c", "d"}),
        ("b a d c", {"c", "d"}),
        ("x a y b z c d", {"x", "y", "z", "c", "d"}),
        ("b d", {"d"}),
        ("c d", {"c", "d"}),
        ("a b a b c", {"a", "b", "c"}),
    ],
    ids=["reversed", "swapped", "inserted", "removed", "all-kept-removed", "repeated"],
)
def test_no_item_gets_the_result_of_another(programs: Any, items: str, ran: set[str]) -> None:
    """After two of four items another list gives each item its own result, and only what is new runs."""
    programs.items(status=-9, STRIKE="before c SIGKILL")
    before = programs.effects()
    printed, _ = programs.items(ITEMS=items)
    assert [f"<{item}>" for item in items.split()] == printed["results"]
    assert {f"begin {item}": 1 for item in ran} == {
        name: count for name, count in (programs.effects() - before).items() if name.startswith("begin")
    }


@pytest.mark.parametrize(
    ("items", "strike"),
    [
        ("b a d c", "before c SIGKILL"),
        ("x a y b c d", "before c SIGKILL"),
        ("b d", "before c SIGKILL"),
        ("d c b a", "before c SIGKILL"),
        ("b c", "inside d SIGKILL"),
        ("a b", "inside c SIGKILL"),
    ],
    ids=["swapped", "inserted", "removed", "reversed", "first-removed", "rest-removed"],
)
def test_state_has_every_item_once(programs: Any, items: str, strike: str) -> None:
    """The state holds what was done before the crash and what is new, each once."""
    programs.items(status=-9, STRIKE=strike)
    done = {item for item in "abcd" if programs.effects()[f"end {item}"]}
    printed, _ = programs.items(ITEMS=items)
    assert sorted(done | set(items.split())) == sorted(printed["state"]["done"])


def edit(programs: Any, old: str, new: str) -> None:
    path = programs.directory / "items.py"
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new))


def test_edited_step_is_kept(programs: Any) -> None:
    """Results that were saved before a step was edited are kept; the others come from the new code."""
    programs.items(status=-9, STRIKE="before c SIGKILL")
    edit(programs, 'return f"<{item}>"', 'return f"[{item}]"')
    printed, _ = programs.items()
    assert ["<a>", "<b>", "[c]", "[d]"] == printed["results"]


def test_edited_step_is_noted_once_in_each_session(programs: Any) -> None:
    """Every session says once that a step was edited, however many of its calls are kept."""
    programs.items(status=-9, STRIKE="before c SIGKILL")
    edit(programs, 'return f"<{item}>"', 'return f"[{item}]"')
    _, first = programs.items(status=-9, STRIKE="before d SIGKILL")
    _, second = programs.items()
    assert [1, 1] == [text.count("work() was edited") for text in (first, second)]
    assert "@checkpointed(version=2)" in first


def test_unedited_step_is_not_noted(programs: Any) -> None:
    """Nothing is said about code that is the same, though it stands in another line."""
    programs.items(status=-9, STRIKE="before c SIGKILL")
    edit(programs, "@checkpointed\n", "# A comment more.\n\n@checkpointed\n")
    _, stderr = programs.items()
    assert "note:" not in stderr


def test_version_runs_an_edited_step(programs: Any) -> None:
    """With another version= every call of the step is a new one."""
    programs.items(status=-9, STRIKE="before c SIGKILL")
    edit(programs, "@checkpointed\n", "@checkpointed(version=2)\n")
    edit(programs, 'return f"<{item}>"', 'return f"[{item}]"')
    printed, _ = programs.items()
    assert ["[a]", "[b]", "[c]", "[d]"] == printed["results"]
    assert 2 == programs.effects()["begin a"]


def test_other_hash_seed_changes_no_key(programs: Any) -> None:
    """Sets and dicts as arguments are recognised in a process with another PYTHONHASHSEED."""
    source = """
import os, sys
from checkpoint import checkpointed, workflow

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon"]

@checkpointed
def work(words, table):
    print("ran", flush=True)
    return sorted(words)

with workflow("hashes"):
    work(set(WORDS), {word: frozenset(WORDS) for word in set(WORDS)})
    if "stop" in os.environ:
        raise SystemExit(3)
"""
    programs.scripts.write(source)
    first = programs.scripts.run("script.py", env={"PYTHONHASHSEED": "1", "stop": "1"})
    assert (3, "ran\n") == (first.returncode, first.stdout)
    outputs = [programs.scripts.run("script.py", env={"PYTHONHASHSEED": seed, "stop": "1"}) for seed in ("2", "77")]
    assert [(3, ""), (3, "")] == [(done.returncode, done.stdout) for done in outputs]
