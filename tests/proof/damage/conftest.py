"""
What the tests of damage share: a run that a kill left in its last step.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.proof.damage.scene import Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Return the run; its journal is kept short, because every bit of it is flipped."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "align.py"])
    monkeypatch.setattr(sys, "argv", ["align.py"])
    return Scene(tmp_path / "home")
