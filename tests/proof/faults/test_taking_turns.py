"""
Steps in threads and tasks: what the program changes after the last of them is kept, and changed once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from checkpoint import checkpointed, workflow
from checkpoint.testing import Crashes


@checkpointed
async def work(name: str, rounds: int) -> str:
    """Let others run for so many rounds."""
    for _ in range(rounds):
        await asyncio.sleep(0)
    return name


@checkpointed
def plain(name: str) -> str:
    """Do nothing."""
    return name


async def gathered() -> dict[str, Any]:
    """Count, after two steps that overlap and before one that follows."""
    async with workflow("gathered") as run:
        await asyncio.gather(work("slow", 5), work("quick", 1))
        run.state["count"] = run.state.get("count", 0) + 1
        plain("end")
        return dict(run.state)


def in_turns(names: Iterable[str]) -> dict[str, Any]:
    """Count, after steps that threads make one after the other, in an order that is not the program's."""
    with workflow("turns") as run:
        for name in names:
            thread = threading.Thread(target=plain, args=(name,))
            thread.start()
            thread.join()
        run.state["count"] = run.state.get("count", 0) + 1
        plain("end")
        return dict(run.state)


def test_change_after_a_kept_call_beside_a_running_one() -> None:
    """Two of three sessions die: a call that was kept while another one ran does not make the change happen twice."""
    Crashes().after(work, args=("quick", 1)).run(gathered)
    Crashes().inside(plain, args=("end",)).run(gathered)

    assert {"count": 1} == asyncio.run(gathered())


@pytest.mark.parametrize("rerun", ["abc", "bca", "cab", "cba"])
def test_change_that_was_not_saved_when_threads_take_turns(rerun: str) -> None:
    """Killed before the change was saved: it is not taken for one that was, whichever call comes last in the rerun."""
    Crashes().before(plain, args=("end",)).run(in_turns, "abc")

    assert {"count": 1} == in_turns(rerun)


@pytest.mark.parametrize("rerun", ["abc", "bca", "cab", "cba"])
def test_change_that_was_saved_when_threads_take_turns(rerun: str) -> None:
    """Killed after the change was saved: it is dropped in the rerun, whichever call comes last."""
    Crashes().inside(plain, args=("end",)).run(in_turns, "abc")

    assert {"count": 1} == in_turns(rerun)


@pytest.mark.parametrize("third", ["abc", "bca", "cba"])
@pytest.mark.parametrize("second", ["abc", "bca", "cba"])
def test_change_that_a_second_session_saved(second: str, third: str) -> None:
    """What the second session changed after kept calls and new ones is in the state when the third comes by."""
    Crashes().after(plain, args=("b",)).run(in_turns, "abc")
    Crashes().inside(plain, args=("end",)).run(in_turns, second)

    assert {"count": 1} == in_turns(third)


@pytest.mark.parametrize("third", ["abc", "bca", "cba"])
@pytest.mark.parametrize("second", ["abc", "bca", "cba"])
def test_change_that_a_second_session_did_not_save(second: str, third: str) -> None:
    """What the second session changed and could not save is changed by the third."""
    Crashes().after(plain, args=("b",)).run(in_turns, "abc")
    Crashes().before(plain, args=("end",)).run(in_turns, second)

    assert {"count": 1} == in_turns(third)
