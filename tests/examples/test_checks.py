"""Tests of `examples/_checks.py`: what counts as broken, and what a check may do."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from _checks import explain_uncompilable, find_errors, has_markers, run_check
from git_plumbing import Repository, UserError

pytestmark = pytest.mark.git

MARKED = "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> side\nd\n"
BROKEN = "def broken(:\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MARKED, True),
        (MARKED.replace("\n", "\r\n"), True),
        ("Title\n=======\n\ntext\n", False),
        (">>>>>>> b\n=======\n<<<<<<< a\n", False),
        ("<<<<<<< a\n  =======\n>>>>>>> b\n", False),
        (f"\0{MARKED}", False),
        ("", False),
    ],
)
def test_markers_count_in_their_order(text: str, expected: bool) -> None:
    """A headline underlined with equal signs is no conflict."""
    assert expected is has_markers(text.encode())


@pytest.mark.parametrize(
    "text", [b"return 1\n", b"x = (\n", b"f(a=1, a=2)\n", b"\0", b"# coding: nonsense\n", b"'\xff'\n"]
)
def test_what_does_not_compile_is_explained(text: bytes) -> None:
    """Not only what does not parse: a repeated argument is found by the compiler only."""
    assert explain_uncompilable("x.py", text)


@pytest.mark.parametrize(
    "text", [b"", b"x = 1\n", b"x = '\\d'\n", b"# coding: latin-1\nx = '\xe9'\n", b"import nowhere\n"]
)
def test_what_compiles_is_not(text: bytes) -> None:
    """Nothing is imported or run, and a warning (an invalid escape) is no error."""
    assert "" == explain_uncompilable("x.py", text)


def errors_of(work: Any, target: dict[str, str], tip: dict[str, str], aligned: dict[str, str]) -> list[str]:
    """Commit the three versions of the files and look for errors in the last."""
    commits = [work.commit("version", files) for files in (tip, target, aligned)]
    return find_errors(Repository(work.directory), commits[0], commits[1], commits[2])


def test_a_file_that_compiled_on_both_sides_and_no_longer_does_is_an_error(work: Any) -> None:
    """The place and the reason are told."""
    found = errors_of(work, {"own.py": "x = 1\n"}, {"own.py": "x = 2\n"}, {"own.py": BROKEN})
    assert ["own.py: no longer compiles (line 1: invalid syntax)"] == found


def test_a_file_that_was_broken_on_the_branch_is_not_blamed(work: Any) -> None:
    """It is the branch's own, even if the alignment changed it elsewhere."""
    assert [] == errors_of(work, {"own.py": "x = 1\n"}, {"own.py": BROKEN}, {"own.py": BROKEN + "y = 1\n"})


def test_a_file_that_was_broken_on_the_target_is_not_blamed(work: Any) -> None:
    """The target was so before."""
    assert [] == errors_of(work, {"own.py": BROKEN}, {"own.py": "x = 1\n"}, {"own.py": BROKEN + "y = 1\n"})


def test_only_python_files_are_compiled(work: Any) -> None:
    """Other languages are left to --check."""
    assert [] == errors_of(work, {"a.txt": "x = 1\n"}, {"a.txt": "x = 2\n"}, {"a.txt": BROKEN})


def test_markers_are_an_error_even_if_the_branch_brought_them(work: Any) -> None:
    """They were overlooked."""
    assert ["a.txt: markers of a conflict were left in"] == errors_of(
        work, {"a.txt": "a\n"}, {"a.txt": MARKED}, {"a.txt": MARKED}
    )


def test_markers_that_are_on_the_target_are_not(work: Any) -> None:
    """A file about conflicts may show one."""
    assert [] == errors_of(work, {"a.txt": MARKED}, {"a.txt": "a\n"}, {"a.txt": MARKED + "more\n"})


def test_a_check_sees_the_files_of_the_commit_and_nothing_else(work: Any) -> None:
    """The working tree of the user is another place."""
    (work.path / "untracked").write_text("x")
    found = run_check(Repository(work.directory), work.tip(), "ls -A")
    assert {"status": 0, "output": "own.py\nshared.txt\n"} == found


def test_a_check_that_fails_is_a_verdict(work: Any) -> None:
    """The end of its output, errors among it, is kept with its status."""
    found = run_check(Repository(work.directory), work.tip(), "sh -c 'seq 9999; echo bad >&2; exit 3'")
    assert (3, True, True) == (found["status"], found["output"].endswith("9999\nbad\n"), len(found["output"]) == 2000)


@pytest.mark.parametrize("command", ["no-such-program-here", "'unbalanced"])
def test_a_check_that_cannot_be_started_is_the_users_error(work: Any, command: str) -> None:
    """It says nothing about the branch."""
    with pytest.raises(UserError, match="cannot be started"):
        run_check(Repository(work.directory), work.tip(), command)


def test_a_check_goes_through_no_shell(work: Any) -> None:
    """What a shell would do has to be asked for."""
    assert "a;b $HOME\n" == run_check(Repository(work.directory), work.tip(), "echo 'a;b' $HOME")["output"]


def test_the_copy_is_gone_afterwards(work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left behind, whatever the check wrote."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_check(Repository(work.directory), work.tip(), "mkdir -p deep/er")
    assert ["work"] == os.listdir(tmp_path)


def test_ctrl_c_ends_the_check_and_its_children(work: Any, tmp_path: Path) -> None:
    """A test suite does not go on in the background when the run was stopped."""
    started = tmp_path / "started"

    def interrupt() -> None:
        while not started.exists() or not started.read_text().endswith("\n"):
            time.sleep(0.005)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_check(Repository(work.directory), work.tip(), f"sh -c 'sleep 60 & echo $! > {started}; wait'")
    thread.join()
    grandchild = int(started.read_text())
    deadline = time.monotonic() + 5
    while is_running(grandchild) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(grandchild)


def is_running(process: int) -> bool:
    """Return whether the process runs; one that nobody has waited for is dead."""
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
