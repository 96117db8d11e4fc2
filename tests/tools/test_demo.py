"""
The demonstration, run once for real, and its comparison.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from checkpoint._tools import demo
from tests.conftest import Scripts


@pytest.mark.process
@pytest.mark.slow
def test_demo(scripts: Scripts, checkpoint_home: Path) -> None:
    """It interrupts, kills and continues a run, says the four sentences, and ends with 0; nothing of it stays."""
    done = scripts.run("-m", "checkpoint", "demo")
    assert (0, "") == (done.returncode, done.stderr)
    said = done.stdout
    for sentence in (
        "align: new run",
        "align: stopped by Ctrl-C",
        "2 steps kept.",
        "crashed",
        "4 steps kept.",
        "align: done",
    ):
        assert sentence in said, sentence
    assert "Traceback" not in said
    assert "journal.jsonl" in said
    assert 4 == said.count("yes  ")
    assert not checkpoint_home.exists()


def make_place(directory: Path, effects: list[str], value: object, state: object) -> Path:
    run = directory / "home" / "runs" / "align" / "r"
    run.mkdir(parents=True)
    (directory / "effects.txt").write_text("".join(f"{effect}\n" for effect in effects), encoding="utf-8")
    (run / "journal.jsonl").write_text(json.dumps({"kind": "completed", "value": value}) + "\n", encoding="utf-8")
    (run / "state.json").write_text(json.dumps({"state": state}), encoding="utf-8")
    return directory


STATUSES = (-signal.SIGINT, -signal.SIGKILL, 0, 0)
SAME = (["a", "b"], "v", {"n": 1})


@pytest.mark.parametrize(
    ("broken", "statuses", "expected"),
    [
        (SAME, STATUSES, 0),
        ((["a", "b", "b"], "v", {"n": 1}), STATUSES, 1),
        ((["a", "b"], "w", {"n": 1}), STATUSES, 1),
        ((["a", "b"], "v", {"n": 2}), STATUSES, 1),
        (SAME, (1, -signal.SIGKILL, 0, 0), 1),
    ],
    ids=["the same", "an effect twice", "another result", "another state", "another status"],
)
def test_comparison(
    broken: tuple[list[str], object, object],
    statuses: tuple[int, ...],
    expected: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It ends with 0 only if statuses, effects, results and state are all those of the uninterrupted run."""
    one, two = make_place(tmp_path / "one", *broken), make_place(tmp_path / "two", *SAME)
    assert expected == demo._compare(one, two, statuses)
    assert expected == capsys.readouterr().out.count("NO ")
