"""
The pytest plugin: keeps every test away from the developer's own runs, and offers `checkpoint.testing` as fixtures.

pytest imports this module in every run of every user, whether a test needs it or not: nothing of the library, and
nothing that pytest has not loaded itself, may be imported before a fixture is used.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from checkpoint.testing import Crashes, ReplayReport, Sandbox, ScriptProcess, SweepReport

# The same names as in `_runtime.paths`, which must not be imported here.
_HOME = "CHECKPOINT_HOME"
_KEY_FILE = "CHECKPOINT_KEY_FILE"
_OUTPUT = "CHECKPOINT_OUTPUT"

# How the options reach `checkpoint.testing.sweep`, which unittest users have without pytest.
_SWEEP_VARIABLES = {
    "checkpoint_sweep_sample": "CHECKPOINT_SWEEP_SAMPLE",
    "checkpoint_sweep_seed": "CHECKPOINT_SWEEP_SEED",
    "checkpoint_sweep_point": "CHECKPOINT_SWEEP_POINT",
}


class _Guard:
    """
    Points the environment of this process, and so of its children, at a directory for tests.

    The directory is made by the library, if a test opens a workflow at all, and its name cannot be guessed.
    """

    def __init__(self) -> None:
        self._base = os.path.join(tempfile.gettempdir(), f"checkpoint-tests-{os.urandom(8).hex()}")
        self._process = os.getpid()
        self._before: dict[str, str | None] = {}
        self._given: dict[str, str] = {}
        self._tests = 0

    def begin(self) -> None:
        """Protect what runs before the first test: conftest files, imports, collection."""
        for name, value in {**self._places("before"), _OUTPUT: "off"}.items():
            self.set(name, value)

    def begin_test(self) -> None:
        """Give a test a home of its own, unless somebody else has chosen one for it."""
        self._tests += 1
        for name, value in self._places(str(self._tests)).items():
            if os.environ.get(name) == self._given[name]:
                self.set(name, value)

    def set(self, name: str, value: str) -> None:
        """Set a variable until the end."""
        self._before.setdefault(name, os.environ.get(name))
        self._given[name] = os.environ[name] = value

    def end(self) -> None:
        """Put back what was there, and remove what the tests have left."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        # A forked child that leaves through pytest's own end must not take its parent's runs away.
        if os.getpid() == self._process and os.path.isdir(self._base):
            shutil.rmtree(self._base, ignore_errors=True)

    def _places(self, name: str) -> dict[str, str]:
        place = os.path.join(self._base, name)
        return {_HOME: os.path.join(place, "home"), _KEY_FILE: os.path.join(place, "key")}


_GUARD = pytest.StashKey[_Guard]()


def _protect(config: pytest.Config) -> _Guard:
    guard = config.stash.get(_GUARD, None)
    if guard is None:
        guard = config.stash[_GUARD] = _Guard()
        # Not pytest_unconfigure, which is left out if pytest gives up while it reads its configuration.
        config.add_cleanup(guard.end)
        guard.begin()
    return guard


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Before the first conftest.py: it may open a workflow when it is imported, or choose a home itself.
    _protect(early_config)


def pytest_configure(config: pytest.Config) -> None:
    # Named in a conftest.py or on the command line of pytester, the plugin comes too late for the hook above.
    guard = _protect(config)
    for option, variable in _SWEEP_VARIABLES.items():
        value = config.getoption(option, default=None)
        if value is not None:
            guard.set(variable, str(value))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[_GUARD].begin_test()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("checkpoint", "checkpoint: crash tests of workflows")
    group.addoption(
        "--checkpoint-sweep",
        metavar="N",
        dest="checkpoint_sweep_sample",
        type=_count,
        help="crash at N points of each sweep, chosen at random, instead of at all of them",
    )
    group.addoption(
        "--checkpoint-seed",
        metavar="S",
        dest="checkpoint_sweep_seed",
        type=int,
        help="seed of that choice, as a sweep printed it",
    )
    group.addoption(
        "--checkpoint-point",
        metavar="P",
        dest="checkpoint_sweep_point",
        type=_point,
        help="crash at this point alone, as a failure named it: 37, or 37+12 for two crashes",
    )


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]+", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of points; give 1 or more")
    return int(text)


def _point(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\+[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no point of a sweep; give a number such as 37, or 37+12")
    return text


@pytest.fixture
def checkpoint_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """
    A store of the test's own, with questions: `.run("align").state`, `.steps`, `.records`, `.damage(...)`.

    Workflows of the test, and of child processes, keep their runs in it.
    See `checkpoint.testing.Sandbox`.
    """
    from checkpoint.testing import Sandbox

    # Not in the test's own tmp_path, which is for what the test makes.
    with Sandbox(tmp_path_factory.mktemp("checkpoint")) as sandbox:
        yield sandbox


@pytest.fixture
def checkpoint_crash() -> Crashes:
    """
    Crash a workflow at one place: `with checkpoint_crash.after("align", 3): main()`; then call `main()` again.

    Also `before`, `inside` and `saving`; `how=` says what kind of crash.
    See `checkpoint.testing.Crashes`.
    """
    from checkpoint.testing import Crashes

    return Crashes()


@pytest.fixture
def checkpoint_sweep() -> Callable[..., SweepReport]:
    """
    Crash a workflow at every point there is, resume it, and compare: `report = checkpoint_sweep(main, world=...)`.

    `--checkpoint-sweep=N`, `--checkpoint-seed=S` and `--checkpoint-point=P` choose among the points.
    See `checkpoint.testing.sweep`.
    """
    from checkpoint.testing import sweep

    return sweep


@pytest.fixture
def checkpoint_process() -> Iterator[Callable[..., ScriptProcess]]:
    """
    Run a script in a process of its own, which can be signalled and killed: `checkpoint_process("align.py")`.

    Whatever still runs when the test is over is killed.
    See `checkpoint.testing.ScriptProcess`.
    """
    from checkpoint.testing import ScriptProcess

    with ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> ScriptProcess:
            process = ScriptProcess(*arguments, **options)
            stack.callback(process.end)
            return process

        yield start


@pytest.fixture
def checkpoint_replay() -> Callable[..., ReplayReport]:
    """
    Resume a run that is kept in the repository with today's code: `checkpoint_replay("runs/align-may", main)`.

    The report says which steps would be kept and which would run.
    See `checkpoint.testing.replay`.
    """
    from checkpoint.testing import replay

    return replay
