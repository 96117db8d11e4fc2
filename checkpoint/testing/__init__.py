"""
Crash tests of your own workflow: crash it at a place you name, or everywhere, and see that it comes through.

Plain objects, usable from unittest; with pytest they come as fixtures named `checkpoint_*`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checkpoint.testing._crash import CrashBlock, Crashes
    from checkpoint.testing._faults import Crash
    from checkpoint.testing._process import Outcome, ScriptProcess
    from checkpoint.testing._replay import ReplayReport, replay
    from checkpoint.testing._sandbox import RunView, Sandbox
    from checkpoint.testing._sweep import sweep
    from checkpoint.testing._sweep_report import SweepFailure, SweepReport

_HOMES = {
    "Crash": "_faults",
    "CrashBlock": "_crash",
    "Crashes": "_crash",
    "Outcome": "_process",
    "ReplayReport": "_replay",
    "RunView": "_sandbox",
    "Sandbox": "_sandbox",
    "ScriptProcess": "_process",
    "SweepFailure": "_sweep_report",
    "SweepReport": "_sweep_report",
    "replay": "_replay",
    "sweep": "_sweep",
}

__all__ = [
    "Crash",
    "CrashBlock",
    "Crashes",
    "Outcome",
    "ReplayReport",
    "RunView",
    "Sandbox",
    "ScriptProcess",
    "SweepFailure",
    "SweepReport",
    "replay",
    "sweep",
]


def __getattr__(name: str) -> Any:
    import importlib

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'checkpoint.testing' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"checkpoint.testing.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
