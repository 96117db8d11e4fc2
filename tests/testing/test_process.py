"""
`ScriptProcess`: real programs, real signals, and what they left in their journals.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from checkpoint import checkpointed, workflow
from checkpoint.errors import UsageError
from checkpoint.testing._process import Outcome, ScriptProcess
from checkpoint.testing._process_runs import RunWatch, Tally

SCRIPTS = Path(__file__).resolve().parent / "scripts"
GATED = SCRIPTS / "gated.py"
UNWATCHED = SCRIPTS / "unwatched.py"

pytestmark = pytest.mark.process

Start = Callable[..., ScriptProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start programs in the test's directory; they are gone when the test is over."""
    started: list[ScriptProcess] = []

    def begin(*words: object, **options: object) -> ScriptProcess:
        started.append(ScriptProcess(*words, **{"cwd": tmp_path, **options}))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for process in started:
        process.end()


def is_alive(pid: int) -> bool:
    """Whether a process runs, or has ended and was not collected yet by whoever adopted it."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_death(pid: int) -> None:
    """Wait until a process that was killed is dead; the test's time limit ends it if it is not."""
    while is_alive(pid):
        threading.Event().wait(0.001)


# --- what a session did --------------------------------------------------------------------------------------------


def test_killed_process_saved_what_was_waited_for(start: Start) -> None:
    """A process that waits in its fourth step is killed with three saved."""
    outcome = start(GATED, 6, 3).until(saved=3).send("SIGKILL")

    assert (-signal.SIGKILL, 0, 3, 3) == (outcome.status, outcome.kept, outcome.ran, outcome.saved)


def test_rerun_keeps_what_the_first_had_saved(start: Start, tmp_path: Path) -> None:
    """The same command goes on with what its predecessor left."""
    first = start(GATED, 6, 3)
    first.until(saved=3).send("SIGKILL")
    (tmp_path / "go").touch()

    outcome = first.rerun().run()

    assert (0, 3, 3) == (outcome.status, outcome.kept, outcome.ran)
    assert outcome.stdout.endswith("[0, 1, 2, 3, 4, 5]\n")
    assert "continuing" in outcome.stderr


def test_both_sessions_name_the_same_run(start: Start, tmp_path: Path) -> None:
    """The run that was continued is the one that was begun."""
    first = start(GATED, 2, 1)
    begun = first.until(saved=1).send("SIGKILL")
    (tmp_path / "go").touch()

    assert 1 == len(begun.runs)
    assert begun.runs == first.rerun().run().runs


def test_kept_steps_count_for_until(start: Start) -> None:
    """A rerun has at once saved what its predecessors have."""
    first = start(GATED, 6, 3)
    first.until(saved=3).send("SIGKILL")

    outcome = first.rerun().until(saved=3).send("SIGKILL")

    assert (3, 0) == (outcome.kept, outcome.ran)


def test_saved_0_is_an_open_run(start: Start) -> None:
    """Nothing needs to be saved for a run to be open."""
    outcome = start(GATED, 2, 0).until(saved=0).send("SIGKILL")

    assert (1, 0) == (len(outcome.runs), outcome.saved)


def test_runs_of_others_do_not_count(start: Start) -> None:
    """What stands in the home already is not this process's work."""
    start(GATED, 3, -1).run()

    outcome = start(UNWATCHED, "deaf").run()

    assert ((), 0, 0) == (outcome.runs, outcome.kept, outcome.ran)


def test_two_at_once_are_told_apart(start: Start, tmp_path: Path) -> None:
    """A second process that was refused has opened nothing."""
    first = start(GATED, 2, 1).until(saved=1)
    second = start(GATED, 2, 1).run()
    (tmp_path / "go").touch()

    assert (75, (), 0) == (second.status, second.runs, second.saved)
    assert 2 == first.run().ran


def test_record_that_was_not_acknowledged_is_not_waited_for(start: Start, checkpoint_home: Path) -> None:
    """A step counts for `until` when its mark says that it is durable, not when its line can be seen."""
    process = start(GATED, 3, 2).until(saved=2)
    (lock,) = checkpoint_home.glob("runs/*/*/lock")
    lock.write_bytes(b"")

    with pytest.raises(AssertionError, match=r"still runs after 0\.1 s, before 2 steps were saved"):
        process.until(saved=2, timeout_s=0.1)


# --- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "status"), [("SIGINT", -signal.SIGINT), ("SIGTERM", 143), ("SIGKILL", -9)])
def test_signals_end_a_run(start: Start, name: str, status: int) -> None:
    """Each way to stop a program ends it as the library says."""
    assert status == start(GATED, 3, 1).until(text="at the gate").send(name).status


def test_signal_by_number(start: Start) -> None:
    """A number is as good as a name."""
    assert -signal.SIGINT == start(GATED, 3, 1).until(text="at the gate").send(signal.SIGINT).status


@pytest.mark.parametrize("in_thread", [False, True])
def test_ctrl_c_works_where_tests_ignore_it(start: Start, in_thread: bool) -> None:
    """A program hears Ctrl-C, even if pytest was started in the background and does not."""
    found: list[str] = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work = threading.Thread(target=lambda: found.append(start(UNWATCHED, "deaf").run().stdout))
        (work.start if in_thread else work.run)()
        if in_thread:
            work.join()
    finally:
        signal.signal(signal.SIGINT, before)

    assert ["ignored: []\n"] == found


def test_second_signal(start: Start) -> None:
    """A signal that does not end the program is followed by one that does."""
    process = start(UNWATCHED, "stubborn").until(text="ready")

    outcome = process.signal("SIGINT").until(text="not yet").send("SIGKILL")

    assert (-signal.SIGKILL, "ready\nnot yet\n") == (outcome.status, outcome.stdout)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_stopped_process_can_be_ended(start: Start, name: str) -> None:
    """A process that is stopped gets the signal all the same."""
    process = start(UNWATCHED, "stop").until(text="ready")

    assert -getattr(signal, name) == process.send(name).status


def test_stop_on_its_way_does_not_hold_the_end(start: Start) -> None:
    """SIGSTOP right before another signal does not keep the process."""
    process = start(UNWATCHED, "wait")

    assert -signal.SIGTERM == process.signal("SIGSTOP").send("SIGTERM").status


def test_message_says_that_a_process_is_stopped(start: Start) -> None:
    """Whoever waits in vain is told what for."""
    process = start(UNWATCHED, "stop").until(text="ready")
    # Its stop is the kernel's next act, but not this one's.
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

    with pytest.raises(AssertionError, match=r"is stopped, and waits for SIGCONT, after 0\.05 s"):
        process.wait(timeout_s=0.05)


def test_group_gets_the_signal(start: Start) -> None:
    """With `group` a terminal's Ctrl-C reaches the program's children too."""
    process = start(GATED, 2, 1, "workers").until(text="at the gate")
    worker = int(process.stdout.split()[1])

    process.send("SIGKILL", group=True)

    wait_for_death(worker)


def test_signal_after_the_end_is_an_error(start: Start) -> None:
    """A test that comes too late with its signal must not pass."""
    process = start(GATED, 1, -1)
    process.run()

    with pytest.raises(AssertionError, match=r"has ended with status 0, before SIGKILL could be sent"):
        process.send("SIGKILL")


@pytest.mark.parametrize("name", ["SIGSTOP", "SIGCONT"])
def test_send_refuses_signals_that_end_nothing(start: Start, name: str) -> None:
    """Waiting for the end after such a signal would be in vain."""
    with pytest.raises(UsageError, match=f"{name} ends no program"):
        start(UNWATCHED, "wait").send(name)


@pytest.mark.parametrize("wanted", ["SIGNONE", 4711])
def test_unknown_signal(start: Start, wanted: object) -> None:
    """A misspelt signal is named."""
    with pytest.raises(UsageError, match=f"{wanted!r} is no signal"):
        start(UNWATCHED, "wait").send(wanted)  # type: ignore[arg-type]


# --- waiting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["no luck", "Traceback"])
def test_text_on_stderr(start: Start, text: str) -> None:
    """A text counts on either stream."""
    process = start(UNWATCHED, "fail")

    assert process is process.until(text=text)


def test_end_before_the_text(start: Start) -> None:
    """If the program ends first, the test sees how, and what it wrote."""
    with pytest.raises(AssertionError, match=r"(?s)ended with status 1 before 'never' was written.*no luck"):
        start(UNWATCHED, "fail").until(text="never")


def test_end_before_the_steps(start: Start) -> None:
    """If the program ends with fewer steps, the test sees with how many."""
    with pytest.raises(AssertionError, match=r"(?s)before 3 steps were saved.*0 steps kept, 2 ran"):
        start(GATED, 2, -1).until(saved=3)


def test_run_that_is_kept_elsewhere(start: Start) -> None:
    """A failure names the place where no run was found."""
    with pytest.raises(AssertionError, match=r"It had opened no run under .*home"):
        start(UNWATCHED, "fail").until(saved=1)


def test_time_is_over(start: Start) -> None:
    """Waiting has an end, with the output so far."""
    process = start(GATED, 2, 1).until(text="at the gate")

    with pytest.raises(AssertionError, match=r"(?s)still runs after 0\.05 s.*at the gate"):
        process.wait(timeout_s=0.05)


def test_outcome_stays(start: Start) -> None:
    """The outcome can be asked for again, also after the end."""
    process = start(GATED, 2, -1)
    outcome = process.run()
    process.end()

    assert outcome is process.wait()


def test_condition_that_is_met_at_the_end(start: Start) -> None:
    """A program that has ended with enough steps saved has met the condition."""
    process = start(GATED, 2, -1)
    process.run()

    assert process is process.until(saved=2)


@pytest.mark.parametrize("conditions", [{}, {"saved": 1, "text": "x"}])
def test_until_takes_one_condition(start: Start, conditions: dict[str, object]) -> None:
    """It would not be clear what is waited for."""
    with pytest.raises(UsageError, match="either saved= or text="):
        start(UNWATCHED, "wait").until(**conditions)  # type: ignore[arg-type]


# --- start and end -------------------------------------------------------------------------------------------------


def test_chatty_program_does_not_block(start: Start) -> None:
    """More output than a pipe holds is taken without a reader."""
    outcome = start(UNWATCHED, "chatter").run()

    assert (1_000_000, 1_000_000) == (len(outcome.stdout), len(outcome.stderr))


def test_environment(start: Start, checkpoint_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program keeps its runs in the sandbox, speaks, does not know of pytest, and has nothing to read."""
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "test_environment (call)")

    outcome = start(UNWATCHED, "environment", env={"GIVEN": "yes"}).run()

    expected = [
        f"CHECKPOINT_HOME {checkpoint_home}",
        "CHECKPOINT_OUTPUT lines",
        "PYTEST_CURRENT_TEST None",
        "GIVEN yes",
        "stdin ''",
        "session True",
    ]
    assert expected == outcome.stdout.splitlines()


def test_variable_can_be_removed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the tests' own can be kept from the program."""
    monkeypatch.setenv("GIVEN", "yes")

    assert "GIVEN None" in start(UNWATCHED, "environment", env={"GIVEN": None}).run().stdout


@pytest.mark.parametrize("name", ["CHECKPOINT_HOME", "CHECKPOINT_KEY_FILE"])
def test_no_program_without_a_sandbox(start: Start, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No test can work on the developer's own runs."""
    monkeypatch.delenv(name)

    with pytest.raises(UsageError, match=f"{name} is not set"):
        start(UNWATCHED, "deaf")


def test_module(start: Start, tmp_path: Path) -> None:
    """A module is started as `python -m` does."""
    (tmp_path / "spoken.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n")

    assert "__main__ ['a', '1']\n" == start("-m", "spoken", "a", 1).run().stdout


def test_script_is_seen_from_its_directory(start: Start, tmp_path: Path) -> None:
    """A relative path begins where the program runs."""
    (tmp_path / "here.py").write_text("print('here')\n")

    assert "here\n" == start("here.py").run().stdout


def test_missing_script(start: Start) -> None:
    """A script that is not there is found missing at once."""
    with pytest.raises(UsageError, match=r"there is no script '.*missing\.py'"):
        start("missing.py")


def test_script_in_another_directory(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A path that is right from here, but not from there, is told apart from a missing one."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "there.py").touch()
    monkeypatch.chdir(elsewhere)

    with pytest.raises(UsageError, match=r"There is '.*there\.py': give that path"):
        start("there.py")


def test_missing_directory(start: Start, tmp_path: Path) -> None:
    """A directory that is not there is not taken for a missing script."""
    with pytest.raises(UsageError, match="there is no such directory"):
        start(UNWATCHED, "deaf", cwd=tmp_path / "missing")


def test_module_without_a_name(start: Start) -> None:
    """`-m` alone says nothing."""
    with pytest.raises(UsageError, match="needs the name of a module"):
        start("-m")


def test_end_kills_the_whole_group(start: Start) -> None:
    """A child of the program does not outlive the test, even if the program has."""
    process = start(GATED, 1, -1, "workers")
    process.run()
    worker = int(process.stdout.split()[1])
    assert is_alive(worker)

    process.end()

    wait_for_death(worker)


def test_end_ends_reruns(start: Start) -> None:
    """What `rerun` started ends with the first."""
    first = start(UNWATCHED, "wait")
    second = first.rerun()

    first.end()

    assert -signal.SIGKILL == second.wait().status


def test_with_block_ends_it(tmp_path: Path) -> None:
    """Without pytest a `with` block is enough."""
    with ScriptProcess(UNWATCHED, "wait", cwd=tmp_path) as process:
        pass

    assert -signal.SIGKILL == process.wait().status


def test_repr_says_how_it_is(start: Start) -> None:
    """A failed assertion shows command, process and how it ended."""
    process = start(UNWATCHED, "fail")
    outcome = process.run()

    assert f"<ScriptProcess '{UNWATCHED} fail', process {process.pid}, status 1>" == repr(process)
    assert "<Outcome: status 1, 0 kept, 0 ran, last line 'ValueError: no luck'>" == repr(outcome)


def test_program_is_this_python(start: Start, tmp_path: Path) -> None:
    """The program runs under the interpreter of the tests."""
    (tmp_path / "which.py").write_text("import sys\nprint(sys.executable)\n")

    assert f"{sys.executable}\n" == start("which.py").run().stdout


@pytest.mark.parametrize(("status", "text"), [(3, "status 3"), (-9, "status -9 (SIGKILL)"), (-4711, "status -4711")])
def test_repr_of_an_outcome(status: int, text: str) -> None:
    """The signal that ended a process is named, and silence shows nothing."""
    assert f"<Outcome: {text}, 1 kept, 2 ran>" == repr(Outcome(status, "", "", 1, 2, ("run",)))


# --- journals that tests have changed ------------------------------------------------------------------------------


def open_and_complete(home: Path, *values: int) -> Path:
    """Complete a step for each value in a run, and return its journal."""
    with suppress(ZeroDivisionError), workflow("watched", store=home) as run:
        for value in values:
            watched(value)
        raise ZeroDivisionError
    return Path(run.location) / "journal.jsonl"


@checkpointed
def watched(value: int) -> int:
    """Return the value."""
    return value


def test_watch_counts_what_a_process_adds(checkpoint_home: Path) -> None:
    """What this very process had done before the watch began is kept, not its later work."""
    open_and_complete(checkpoint_home, 1, 2)
    watch = RunWatch(str(checkpoint_home))
    assert Tally() == watch.tally(os.getpid(), durable=True)

    open_and_complete(checkpoint_home, 1, 2, 3)

    assert (2, 1) == ((tally := watch.tally(os.getpid(), durable=True)).kept, tally.ran)


def test_watch_of_a_run_that_was_removed(checkpoint_home: Path) -> None:
    """A run that is gone stays as it was seen last, and one that comes after it is seen too."""
    watch = RunWatch(str(checkpoint_home))
    journal = open_and_complete(checkpoint_home, 1)
    assert 1 == watch.tally(os.getpid(), durable=False).ran

    shutil.rmtree(journal.parent)
    open_and_complete(checkpoint_home, 1, 2)

    assert (2, 3) == (len((tally := watch.tally(os.getpid(), durable=False)).runs), tally.ran)


def test_watch_of_an_older_copy(checkpoint_home: Path) -> None:
    """A journal that became shorter is read anew."""
    watch = RunWatch(str(checkpoint_home))
    journal = open_and_complete(checkpoint_home, 1, 2)
    assert 2 == watch.tally(os.getpid(), durable=False).ran

    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]))

    assert 1 == watch.tally(os.getpid(), durable=False).ran


def test_watch_of_damaged_lines(checkpoint_home: Path) -> None:
    """A line that cannot be read is nobody's work, and no error."""
    watch = RunWatch(str(checkpoint_home))
    journal = open_and_complete(checkpoint_home, 1, 2)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"damaged\n", *lines[4:]]))

    assert 1 == watch.tally(os.getpid(), durable=False).ran
