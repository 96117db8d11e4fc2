"""
A store of a test's own: where runs go, what can be asked of them, and what damage to them comes to.
"""

from __future__ import annotations

import datetime
import enum
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from checkpoint import checkpointed, workflow
from checkpoint.errors import DamagedRunError, UntrustedError, UsageError
from checkpoint.stores import FileStore
from checkpoint.testing import RunView, Sandbox

GUARDED = ("CHECKPOINT_HOME", "CHECKPOINT_KEY_FILE", "CHECKPOINT_OUTPUT")


class Mode(enum.Enum):
    """How the example works."""

    FAST = 1


@dataclass
class Options:
    """A part of the example's state."""

    mode: Mode = Mode.FAST
    retries: int = 2


@dataclass
class AlignState:
    """The state of the example."""

    processed: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    options: Options = field(default_factory=Options)


class Refused(Exception):
    """What the step raises for a branch called `bad`."""


effects: list[str] = []


@checkpointed
def inner(branch: str) -> str:
    return branch.upper()


@checkpointed
def align(branch: str) -> Any:
    effects.append(branch)
    if branch == "bad":
        raise Refused(branch)
    if branch == "outer":
        return inner(branch)
    return RESULTS.get(branch, branch)


class Opaque:
    """A result that only a pickle can hold."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[type[Opaque], tuple[str]]:
        return Opaque, (self.name,)


RESULTS: dict[str, Any] = {
    "plain": {"lines": [1, 2]},
    "tagged": (Fraction(1, 3), {"a"}),
    "pickled": Opaque("login"),
    "large": "x" * 40_000,
    "larger": "y" * 50_000,
}


@pytest.fixture(autouse=True)
def forget_effects() -> None:
    """Begin every test without effects."""
    effects.clear()


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """Return an entered sandbox."""
    with Sandbox(tmp_path / "sandbox") as made:
        yield made


def run_align(*branches: str, key: str | None = None, fresh: bool = False) -> str:
    """Run the example's workflow; return the run's id."""
    with workflow("align", key=key, fresh=fresh) as run:
        for branch in branches:
            align(branch)
    return run.id


# --- the environment -----------------------------------------------------------------------------------------------


def test_workflows_are_kept_in_it(sandbox: Sandbox) -> None:
    """While the sandbox is entered, a workflow without a store of its own keeps its run there."""
    run = run_align("login")

    assert [run] == [found.id for found in sandbox.runs]
    assert sandbox.home in sandbox.run("align").location.parents


@pytest.mark.parametrize("before", [None, "", "somewhere"])
def test_environment_is_put_back(before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving puts back what was there, also if nothing was."""
    for name in GUARDED:
        monkeypatch.delenv(name)
        if before is not None:
            monkeypatch.setenv(name, before)
    with pytest.raises(Refused), Sandbox(tmp_path):
        assert all(os.environ[name] not in ("", "somewhere") for name in GUARDED)
        raise Refused

    assert [before] * 3 == [os.environ.get(name) for name in GUARDED]


def test_entered_twice(tmp_path: Path) -> None:
    """A sandbox inside another, or inside itself, gives way to it again."""
    outer, other = Sandbox(tmp_path / "outer"), Sandbox(tmp_path / "other")
    with outer:
        with other, outer:
            assert str(outer.home) == os.environ["CHECKPOINT_HOME"]
        assert str(outer.home) == os.environ["CHECKPOINT_HOME"]


def test_temporary_directory_is_removed() -> None:
    """Without a directory a temporary one is made, which goes with the sandbox."""
    with Sandbox() as sandbox:
        run_align("login")
        assert sandbox.home.is_dir()

    assert not sandbox.home.parent.exists()


def test_nothing_is_made_before_it_is_entered() -> None:
    """A sandbox that is only made leaves nothing on the disk."""
    assert not Sandbox().home.parent.exists()


def test_given_directory_stays(tmp_path: Path) -> None:
    """A directory of the user's own is left with the runs in it, and can be looked at afterwards."""
    with Sandbox(tmp_path / "mine") as sandbox:
        run_align("login")

    assert "finished" == Sandbox(tmp_path / "mine").run("align").status
    assert sandbox.home == Sandbox(tmp_path / "mine").home


def test_directories_are_private(tmp_path: Path) -> None:
    """Only this user can enter what the sandbox makes."""
    with Sandbox(tmp_path / "mine") as sandbox:
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (sandbox.home.parent, sandbox.home)]

    assert [0o700, 0o700] == modes


def test_store_without_the_environment(tmp_path: Path) -> None:
    """The store can be handed to a workflow that is not entered in the sandbox's environment."""
    sandbox = Sandbox(tmp_path)
    with workflow("align", store=sandbox.store):
        align("login")

    assert isinstance(sandbox.store, FileStore)
    assert ["align('login')"] == [step.call for step in sandbox.run("align").steps]


@pytest.mark.process
def test_child_processes(sandbox: Sandbox, run_python: Callable[..., str]) -> None:
    """A child process keeps its runs in the sandbox too, and says nothing."""
    run_python("from checkpoint import workflow\nwith workflow('child'): pass")

    assert "finished" == sandbox.run("child").status


# --- which runs there are ------------------------------------------------------------------------------------------


def test_runs_are_newest_first(sandbox: Sandbox) -> None:
    """All runs are there, the newest first."""
    ids = [run_align("login"), run_align("login"), run_align("login", key="repo")]

    assert ids[::-1] == [run.id for run in sandbox.runs]


def test_run_is_the_newest(sandbox: Sandbox) -> None:
    """Of several runs of a workflow the newest is meant."""
    run_align("login")
    newest = run_align("search", key="repo")

    assert newest == sandbox.run("align").id


def test_run_of_a_key(sandbox: Sandbox) -> None:
    """A run is found by its key, and one without a key by None."""
    with_key, without = run_align("login", key="repo"), run_align("login")
    run_align("login", key="other")

    assert (with_key, without) == (sandbox.run("align", key="repo").id, sandbox.run("align", key=None).id)


def test_run_knows_what_it_is(sandbox: Sandbox) -> None:
    """A run knows its workflow and its key."""
    run_align("login", key="repo")
    run = sandbox.run("align")

    assert ("align", "repo") == (run.workflow, run.key)


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("merge", {}, "workflow 'merge' in "),
        ("align", {"key": "x"}, "workflow 'align' with key 'x' in "),
        ("align", {"key": None}, "workflow 'align' without a key in "),
    ],
)
def test_missing_run(sandbox: Sandbox, name: str, options: dict[str, Any], wanted: str) -> None:
    """Asking for a run that is not there says what is there."""
    run_align("login", key="repo")
    with pytest.raises(UsageError) as refused:
        sandbox.run(name, **options)
    assert wanted in str(refused.value)
    assert str(refused.value).endswith("Runs there: align (key 'repo').")


def test_missing_run_of_an_empty_sandbox(sandbox: Sandbox) -> None:
    """In an empty sandbox the message says so."""
    with pytest.raises(UsageError, match=r"Runs there: none\.$"):
        sandbox.run("align")


# --- status --------------------------------------------------------------------------------------------------------


def test_finished(sandbox: Sandbox) -> None:
    """A run whose block was left normally is finished."""
    run_align("login")

    assert "finished" == sandbox.run("align").status


def test_failed(sandbox: Sandbox) -> None:
    """A run whose block was left by an exception has failed."""
    with pytest.raises(Refused):
        run_align("bad")

    assert "failed" == sandbox.run("align").status


def test_stopped(sandbox: Sandbox) -> None:
    """A run that Ctrl-C left is stopped."""
    with pytest.raises(KeyboardInterrupt), workflow("align"):
        raise KeyboardInterrupt

    assert "stopped" == sandbox.run("align").status


def test_running(sandbox: Sandbox) -> None:
    """A run that this process works on is running, and asking does not take it away."""
    with workflow("align"):
        assert "running" == sandbox.run("align").status
        align("login")

    assert 1 == sandbox.run("align").ran


KILLED = """
import os
from checkpoint import checkpointed, workflow

@checkpointed
def align(branch):
    if branch == "search":
        os._exit(9)
    return branch

with workflow("align") as run:
    run.state["done"] = 0
    for branch in ("login", "search"):
        align(branch)
        run.state["done"] += 1
"""


WAITING = """
import time
from checkpoint import workflow

with workflow("align"):
    print("opened", flush=True)
    while True:
        time.sleep(0.01)
"""


@pytest.fixture
def killed(sandbox: Sandbox, scripts: Any) -> RunView:
    """Return a run whose process was gone in the middle of its second step."""
    assert 9 == scripts.run(scripts.write(KILLED)).returncode
    return sandbox.run("align")


@pytest.mark.process
def test_crashed(killed: RunView) -> None:
    """A run without an end whose process is gone has crashed."""
    assert "crashed" == killed.status


@pytest.mark.process
def test_looking_does_not_own(sandbox: Sandbox, killed: RunView) -> None:
    """A crashed run that was looked at can be continued, by this process too."""
    with workflow("align") as run:
        assert killed.id == run.id

    assert "finished" == sandbox.run("align").status


@pytest.mark.process
def test_running_elsewhere(sandbox: Sandbox, scripts: Any) -> None:
    """A run that another process works on is running."""
    child = scripts.start(scripts.write(WAITING))
    scripts.wait_for(child, "opened")

    assert "running" == sandbox.run("align").status


def test_lost(sandbox: Sandbox) -> None:
    """A run whose journal is gone is lost, and can still be found."""
    run_align("login", key="repo")
    sandbox.damage("align", "remove")

    assert "lost" == sandbox.run("align", key="repo").status


# --- state ---------------------------------------------------------------------------------------------------------


def test_state_of_plain_data(sandbox: Sandbox) -> None:
    """The state is that of the end of the run, as plain data."""
    with workflow("align") as run:
        run.state["processed"] = ["login"]

    assert {"processed": ["login"]} == sandbox.run("align").state


def test_state_while_it_runs(sandbox: Sandbox) -> None:
    """What was changed since the last save is not in it yet."""
    with workflow("align") as run:
        run.state["n"] = 1
        align("login")
        run.state["n"] = 2

        assert {"n": 1} == sandbox.run("align").state


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        Path("a/b"),
        {"a", "b"},
        ("a", 1),
        frozenset({1}),
        {1: "a"},
        b"abc",
        Mode.FAST,
        [{"deep": ({1, 2},)}],
    ],
)
def test_state_of_tagged_values(sandbox: Sandbox, value: object) -> None:
    """Values that were saved with their type come back with it."""
    with workflow("align") as run:
        run.state["value"] = value

    found = sandbox.run("align").state["value"]
    assert value == found
    assert type(value) is type(found)


def test_state_of_a_dataclass(sandbox: Sandbox) -> None:
    """A state with a class comes as the dict of its fields, each as the file shows it."""
    with workflow("align", state=AlignState) as run:
        run.state.processed.append("login")
        run.state.seen.add("login")

    expected = {"processed": ["login"], "seen": ["login"], "options": {"mode": "FAST", "retries": 2}}
    assert expected == sandbox.run("align").state


def test_state_with_an_object(sandbox: Sandbox) -> None:
    """An object with fields inside a dict comes as the dict of its fields too."""
    with workflow("align") as run:
        run.state["options"] = Options(retries=5)

    assert 5 == sandbox.run("align").state["options"]["retries"]


def test_state_that_this_program_cannot_make(sandbox: Sandbox) -> None:
    """A member of a class that is not loaded stays as it stands in the file; its module is not imported."""
    with workflow("align") as run:
        run.state["value"] = [Mode.FAST]
    view = sandbox.run("align")
    view._lines = [line.replace(b"test_sandbox:Mode.", b"elsewhere:Mode.") for line in view._journal()]

    ((name,),) = (list(tree.values()) for tree in view.state["value"])
    assert name.endswith("elsewhere:Mode.FAST")


@pytest.mark.process
def test_state_of_a_crash(killed: RunView) -> None:
    """After a crash the state is as last saved."""
    assert {"done": 1} == killed.state


# --- steps ---------------------------------------------------------------------------------------------------------


def test_steps(sandbox: Sandbox) -> None:
    """Calls come in the order in which they were begun, inner ones after those that made them."""
    run_align("login", "outer")

    assert ["align('login')", "align('outer')", "inner('outer')"] == [step.call for step in sandbox.run("align").steps]


def test_step_names(sandbox: Sandbox) -> None:
    """A step has the name that the journal knows it by."""
    run_align("login")
    (step,) = sandbox.run("align").steps

    assert step.name.endswith("test_sandbox:align")


def test_failed_step(sandbox: Sandbox) -> None:
    """A call that raised has failed, and its attempts of all sessions are counted."""
    for _ in range(2):
        with pytest.raises(Refused):
            run_align("login", "bad")

    assert [("completed", 1), ("failed", 2)] == [(step.status, step.attempts) for step in sandbox.run("align").steps]


@pytest.mark.process
def test_steps_of_a_crash(killed: RunView) -> None:
    """The call that was cut has been started and not ended."""
    assert ["completed", "started"] == [step.status for step in killed.steps]


@pytest.mark.parametrize("branch", [*RESULTS, "login"])
def test_values(sandbox: Sandbox, branch: str) -> None:
    """A saved result is read as a rerun reads it: inline, with its types, from a file, or unpickled."""
    run_align(branch)
    (step,) = sandbox.run("align").steps
    expected = RESULTS.get(branch, branch)

    assert expected == step.value
    assert type(expected) is type(step.value)


def test_value_is_another_each_time(sandbox: Sandbox) -> None:
    """A test that changes a result does not change the next answer."""
    run_align("plain")
    (step,) = sandbox.run("align").steps
    step.value["lines"].append(3)

    assert {"lines": [1, 2]} == step.value


def test_no_value(sandbox: Sandbox) -> None:
    """A call that has not completed has no result."""
    with pytest.raises(Refused):
        run_align("bad")
    (step,) = sandbox.run("align").steps
    with pytest.raises(UsageError, match=r"align\('bad'\) has no result: it is 'failed'"):
        _ = step.value


def test_pickled_value_needs_the_key(sandbox: Sandbox) -> None:
    """A pickle whose seal does not hold is not loaded for a test either."""
    run_align("pickled")
    (sandbox.home.parent / "key").write_bytes(bytes(32))
    (step,) = sandbox.run("align").steps
    with pytest.raises(UntrustedError):
        _ = step.value


def test_step_repr(sandbox: Sandbox) -> None:
    """A step in a failure message says which call it is and how it went."""
    for _ in range(2):
        with pytest.raises(Refused):
            run_align("login", "bad")

    expected = ["<step align('login'): completed>", "<step align('bad'): failed, 2 attempts>"]
    assert expected == [repr(step) for step in sandbox.run("align").steps]


# --- the run as a whole --------------------------------------------------------------------------------------------


def test_records(sandbox: Sandbox) -> None:
    """The records are those of the journal."""
    run_align("login")
    run = sandbox.run("align")

    assert ["created", "opened", "started", "completed", "finished"] == [record["kind"] for record in run.records]
    assert run.records == [json.loads(line) for line in (run.location / "journal.jsonl").read_text().splitlines()]


def test_kept_and_ran(sandbox: Sandbox) -> None:
    """Of the last session it is known how many calls were there before it, and how many completed in it."""
    with pytest.raises(Refused):
        run_align("login", "outer", "bad")
    first = sandbox.run("align")
    with pytest.raises(Refused):
        run_align("login", "outer", "search", "bad")
    second = sandbox.run("align")
    run_align("login", "outer", "search")
    third = sandbox.run("align")

    assert [(1, 0, 3), (2, 3, 1), (3, 4, 0)] == [(run.sessions, run.kept, run.ran) for run in (first, second, third)]


def test_a_view_is_a_snapshot(sandbox: Sandbox) -> None:
    """What happens after a run was asked for does not change the answer."""
    with workflow("align"):
        before = sandbox.run("align")
        align("login")

    assert ("running", []) == (before.status, before.steps)


def test_run_repr(sandbox: Sandbox) -> None:
    """A run in a failure message says which it is, how it ended, and what was kept."""
    run = run_align("login", key="repo")

    expected = f"<run {run[-4:]} of 'align' with key 'repo': finished, 0 steps kept, 1 ran>"
    assert expected == repr(sandbox.run("align"))


def test_repr(sandbox: Sandbox) -> None:
    """A sandbox says where it is and how many runs it has."""
    run_align("login")

    assert f"<Sandbox {str(sandbox.home)!r}, 1 runs>" == repr(sandbox)


# --- damage --------------------------------------------------------------------------------------------------------


REFUSED = ["flip", "cut", "zero", "remove", "drop", "double", "swap", "older"]


@pytest.mark.parametrize("kind", REFUSED)
def test_damaged_journal(sandbox: Sandbox, faults: Any, kind: str) -> None:
    """A rerun over a damaged journal is refused, and runs nothing."""
    with pytest.raises(Refused):
        run_align("login", "bad")
    effects.clear()
    said = sandbox.damage("align", kind)
    with pytest.raises(DamagedRunError):
        run_align("login", "search")

    assert [] == effects
    assert said.endswith(f": {sandbox.run('align').location / 'journal.jsonl'}")
    faults.count("damage by Sandbox.damage", refused=1)


def test_half_a_line_is_harmless(sandbox: Sandbox, faults: Any) -> None:
    """What a crash leaves at the end of the journal is cut off, and nothing is lost."""
    with pytest.raises(Refused):
        run_align("login", "bad")
    sandbox.damage("align", "append")
    run_align("login")

    assert ("finished", 1, 0) == (sandbox.run("align").status, sandbox.run("align").kept, sandbox.run("align").ran)
    faults.count("damage by Sandbox.damage", harmless=1)


@pytest.mark.parametrize("file", ["lock", "state.json"])
@pytest.mark.parametrize("kind", ["cut", "zero", "remove"])
def test_damaged_derived_files(sandbox: Sandbox, faults: Any, kind: str, file: str) -> None:
    """The mark and the summary are derived: without them the run goes on, and nothing runs twice."""
    with pytest.raises(Refused):
        run_align("login", "bad")
    effects.clear()
    sandbox.damage("align", kind, file=file)
    run_align("login")

    assert [] == effects
    faults.count("damage by Sandbox.damage", harmless=1)


def test_damaged_mark(sandbox: Sandbox, faults: Any) -> None:
    """A mark that can still be read, and says that another record was saved, is believed: the run is refused."""
    with pytest.raises(Refused):
        run_align("login", "bad")
    effects.clear()
    # The last digit of the count; of the checksum, a flip could make a letter that no mark has.
    sandbox.damage("align", "flip", at=9, file="lock")
    with pytest.raises(DamagedRunError, match="is not the one that was saved"):
        run_align("login")

    assert [] == effects
    faults.count("damage by Sandbox.damage", refused=1)


@pytest.mark.parametrize("kind", ["flip", "cut", "zero", "remove"])
@pytest.mark.parametrize("file", ["payload", 0, 1])
def test_damaged_payload(sandbox: Sandbox, faults: Any, kind: str, file: str | int) -> None:
    """A result whose file is damaged is refused, and never computed again behind the user's back."""
    with pytest.raises(Refused):
        run_align("large", "larger", "bad")
    effects.clear()
    sandbox.damage("align", kind, file=file)
    first, second, _ = sandbox.run("align").steps
    whole, broken = (first, second) if file == 1 else (second, first)
    with pytest.raises(DamagedRunError):
        run_align("large", "larger")
    with pytest.raises(DamagedRunError):
        _ = broken.value

    assert [] == effects
    assert whole.value
    faults.count("damage by Sandbox.damage", refused=1)


@pytest.mark.parametrize("question", ["records", "state", "steps", "sessions", "kept", "ran"])
def test_damaged_run_answers_nothing(sandbox: Sandbox, question: str) -> None:
    """A damaged journal gives no answers, which could be wrong."""
    run_align("login")
    sandbox.damage("align", "flip")
    with pytest.raises(DamagedRunError, match=r"journal\.jsonl"):
        getattr(sandbox.run("align"), question)


@pytest.mark.parametrize("kind", ["flip", "remove", "older"])
def test_damaged_run_can_be_shown(sandbox: Sandbox, kind: str) -> None:
    """A damaged run can still be printed and found on the disk."""
    run_align("login")
    sandbox.damage("align", kind)
    run = sandbox.run("align")

    assert repr(run).endswith("its files are damaged>")
    assert run.location.is_dir()


def test_damage_to_the_run_of_a_key(sandbox: Sandbox) -> None:
    """The run of the given key is struck, and no other."""
    run_align("login", key="a")
    run_align("login", key="b")
    sandbox.damage("align", "flip", key="a")

    assert 1 == sandbox.run("align", key="b").ran
    with pytest.raises(DamagedRunError):
        _ = sandbox.run("align", key="a").ran


def test_open_run_is_not_damaged(sandbox: Sandbox) -> None:
    """A run that is open in this process is refused: what would be tested is not what a crash leaves."""
    with workflow("align"), pytest.raises(UsageError, match="is open in this process"):
        sandbox.damage("align", "flip")

    assert "finished" == sandbox.run("align").status


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "burn"}, "There is no damage 'burn'"),
        ({"kind": "flip", "at": 10**9}, "cannot strike at 1000000000"),
        ({"kind": "drop", "file": "lock"}, "is for the journal alone"),
        (
            {"kind": "flip", "file": "diary"},
            "file='diary' is no file of a run. Give journal, lock, state.json, payload",
        ),
        ({"kind": "flip", "file": "payload"}, "There is no payload 0: this run has 0."),
        ({"kind": "flip", "file": 2}, "There is no payload 2"),
        ({"kind": "flip", "file": -1}, "There is no payload -1"),
    ],
)
def test_nonsense(sandbox: Sandbox, options: dict[str, Any], message: str) -> None:
    """What cannot be damaged is refused with what can be, and nothing is changed."""
    run_align("login")
    with pytest.raises(UsageError) as refused:
        sandbox.damage("align", **options)

    assert message in str(refused.value)
    assert 1 == sandbox.run("align").ran


def test_file_that_is_not_there(sandbox: Sandbox) -> None:
    """A file that was removed cannot be damaged."""
    run_align("login")
    sandbox.damage("align", "remove", file="lock")
    with pytest.raises(UsageError, match="there is no such file"):
        sandbox.damage("align", "flip", file="lock")
