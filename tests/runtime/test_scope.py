"""
Who is calling: context first, then the only open run.
"""

from __future__ import annotations

import contextvars

import pytest

from checkpoint import checkpointed, errors, workflow
from checkpoint._runtime import scope
from checkpoint._runtime.attempt import Attempt
from checkpoint.stores import MemoryStore


def test_nothing_is_open() -> None:
    """Outside every workflow there is no scope."""
    assert scope.find_scope() is None


def test_block_is_the_root_scope() -> None:
    """In the block calls are made in the run itself."""
    with workflow("w", store=MemoryStore(), output="off"):
        found = scope.find_scope()
        assert found is scope.open_sessions[0].root
        assert ("run", 0) == (found.key, found.depth)


def test_step_is_a_scope() -> None:
    """In a step's body calls are made in the step, which knows what encloses it."""

    @checkpointed
    def inner() -> int:
        found = scope.find_scope()
        assert isinstance(found, Attempt)
        assert found.is_within(found.parent)
        assert not found.is_within(found)
        return found.depth

    @checkpointed
    def outer() -> list[int]:
        found = scope.find_scope()
        assert found is not None
        return [found.depth, inner()]

    with workflow("w", store=MemoryStore(), output="off"):
        assert [1, 2] == outer()


def test_scope_comes_back() -> None:
    """After a step, failed or not, and after the block, the scope is what it was."""

    @checkpointed
    def fails() -> None:
        raise ValueError

    with workflow("w", store=MemoryStore(), output="off"):
        before = scope.find_scope()
        with pytest.raises(ValueError):
            fails()
        assert before is scope.find_scope()
    assert scope.find_scope() is None
    assert [] == scope.open_sessions


def test_empty_context_belongs_to_the_only_run() -> None:
    """Code without a context of its own finds the only open run."""
    with workflow("w", store=MemoryStore(), output="off"):
        assert scope.open_sessions[0].root is contextvars.Context().run(scope.find_scope)


def test_empty_context_with_two_runs() -> None:
    """With two runs open nothing says which is meant."""
    store = MemoryStore()
    with (
        workflow("a", store=store, output="off"),
        workflow("b", store=store, output="off"),
        pytest.raises(errors.UsageError) as caught,
    ):
        contextvars.Context().run(scope.find_scope)
    assert "which-run" == caught.value.slug


def test_context_of_a_closed_run() -> None:
    """A context that was copied in a block is refused after it, also while another run is open."""
    with workflow("a", store=MemoryStore(), output="off"):
        context = contextvars.copy_context()
    with workflow("b", store=MemoryStore(), output="off"), pytest.raises(errors.RunClosedError):
        context.run(scope.find_scope)
