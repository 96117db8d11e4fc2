"""
Durable steps for ordinary scripts: press Ctrl-C, run the same command again, and it continues where it was.

`checkpointed` makes a function a step, `workflow` names the block whose steps are kept.  Names are loaded
when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checkpoint import errors, stores
    from checkpoint._decorator import checkpointed
    from checkpoint._run import Run, current_run
    from checkpoint._step import Step
    from checkpoint._workflow import workflow
    from checkpoint.errors import CheckpointError

__version__ = "0.1.0"

__all__ = ["CheckpointError", "Run", "Step", "checkpointed", "current_run", "errors", "stores", "workflow"]

_HOMES = {
    "CheckpointError": "checkpoint.errors",
    "Run": "checkpoint._run",
    "Step": "checkpoint._step",
    "checkpointed": "checkpoint._decorator",
    "current_run": "checkpoint._run",
    "workflow": "checkpoint._workflow",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in ("errors", "stores"):
        return importlib.import_module(f"checkpoint.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'checkpoint' has no attribute {name!r}")
    found = getattr(importlib.import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
