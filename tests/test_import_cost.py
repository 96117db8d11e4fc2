"""What importing the package may cost: nothing that a program without steps has no use for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HEAVY = (
    *("wrapt", "cloudpickle", "platformdirs", "asyncio", "logging", "concurrent.futures", "multiprocessing"),
    *("subprocess", "socket", "ssl", "sqlite3", "shutil", "tempfile", "importlib.metadata", "email", "unittest"),
    *("numpy", "pandas", "pydantic", "attr", "msgspec", "rich"),
)

# Milliseconds of CPU over a bare interpreter.
BUDGET_MS = 40.0

# What a library with types, JSON, checksums and locks cannot do without; measured beside ours, because machines differ.
STANDARD = "dataclasses, hashlib, inspect, json, threading, typing"
MOST_TIMES = 4.0

MEASURE = """
import json, sys, time
began = time.process_time()
{statement}
spent_ms = (time.process_time() - began) * 1000
print(json.dumps([sorted(sys.modules), spent_ms]))
"""


def heavy_modules(run_python: Callable[..., str], statement: str) -> list[str]:
    """Return what a fresh interpreter has loaded, of the heavy modules, after `statement`."""
    loaded, _ = json.loads(run_python(MEASURE.format(statement=statement), "-S", "-E"))
    return [name for name in HEAVY if name in loaded]


# -S: what the environment's own .pth files import is none of our doing.
PATH = "import sys; sys.path[:0] = {paths!r}"


@pytest.fixture(scope="module")
def with_path() -> str:
    """Return the statement by which a bare interpreter finds this checkout and the installed packages."""
    repository = str(Path(__file__).resolve().parent.parent)
    return PATH.format(paths=[repository, *[path for path in sys.path if path.endswith("site-packages")]])


@pytest.mark.parametrize(
    "statement",
    [
        "import checkpoint",
        "from checkpoint import CheckpointError, errors",
        "from checkpoint import checkpointed, workflow",
        "from checkpoint import Run, current_run, stores",
    ],
)
def test_import_loads_nothing_heavy(run_python: Callable[..., str], with_path: str, statement: str) -> None:
    """No heavy module is loaded before it is used."""
    assert [] == heavy_modules(run_python, f"{with_path}; {statement}")


def test_checkpoint_itself_is_lazy(run_python: Callable[..., str], with_path: str) -> None:
    """`import checkpoint` loads none of our own modules: a program may import us and never open a workflow."""
    loaded, _ = json.loads(run_python(MEASURE.format(statement=f"{with_path}; import checkpoint"), "-S", "-E"))

    assert ["checkpoint"] == [name for name in loaded if name.split(".")[0] == "checkpoint"]


def test_first_decoration_loads_wrapt_only(run_python: Callable[..., str], with_path: str) -> None:
    """Decorating a function loads wrapt, and neither cloudpickle nor platformdirs."""
    statement = f"{with_path}; from checkpoint import checkpointed\n@checkpointed\ndef step(x): return x"
    found = heavy_modules(run_python, statement)

    assert "wrapt" in found
    assert not {"cloudpickle", "platformdirs", "numpy", "pydantic"} & set(found)


def best_ms(run_python: Callable[..., str], statement: str) -> float:
    """Return the CPU milliseconds that `statement` takes in a fresh interpreter, best of several."""
    return min(float(json.loads(run_python(MEASURE.format(statement=statement), "-S", "-E"))[1]) for _ in range(7))


def test_import_time(run_python: Callable[..., str], with_path: str) -> None:
    """Importing us takes no longer than a person could notice, even if no workflow is ever opened."""
    assert best_ms(run_python, f"{with_path}; import checkpoint") <= BUDGET_MS


def test_import_time_of_what_every_program_needs(run_python: Callable[..., str], with_path: str) -> None:
    """Our own modules cost no more than a few times the parts of the standard library that they stand on."""
    ours = best_ms(run_python, f"{with_path}; from checkpoint import checkpointed, workflow")
    standard = best_ms(run_python, f"{with_path}; import {STANDARD}")

    assert ours <= MOST_TIMES * standard
