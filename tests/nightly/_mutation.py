"""
What a mutation is, and which tests are meant to catch which kind.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """
    One broken guarantee.

    Attributes:
        name: What is broken, for `--only`.
        path: The module, relative to the package.
        old: Text that is there exactly once.
        new: What stands there instead.
        tests: Files and folders that must notice, relative to `tests`.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


POWER = ("stores/test_power_cuts.py", "proof/test_guarantees.py")
DAMAGE = ("core/test_lines.py", "stores/test_damage.py")
STATE = ("test_state.py", "test_state_model.py")
STEPS = ("test_step.py", "test_workflow.py", "test_tight_corners.py")
SIGNALS = ("runtime/test_signals.py", "test_every_opcode.py", "end_to_end/test_signals.py")
FAULTS = ("stores/test_faults.py", "proof/test_guarantees.py")
PROCESSES = ("stores/test_processes.py", "end_to_end/test_two_processes.py")
