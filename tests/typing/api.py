"""
The public API as type checkers see it.  Never run: it is checked, and with it that every call is refused that must be.

An expectation of an error is an ignore with its code; `warn_unused_ignores` makes it fail when the error is gone.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, TypeVar, assert_type

import checkpoint
from checkpoint import CheckpointError, Run, checkpointed, current_run, errors, stores, workflow

T = TypeVar("T")


@dataclass
class OrchestratorState:
    """A state class as users write them."""

    pending: list[str] = field(default_factory=list)
    processed: list[str] = field(default_factory=list)
    current: str | None = None


class Progress(TypedDict):
    """A state that is a dict with known keys."""

    done: int


# Steps: bare and called, functions, coroutines, methods, generics.


@checkpointed
def align(branch: str, *, strict: bool = False) -> str:
    return branch


@checkpointed(version=2, ignore=("client",), critical=True)
def push(branch: str, client: object) -> int:
    return len(branch)


@checkpointed(name="fetch", key=lambda url: url)
async def fetch(url: str) -> bytes:
    return url.encode()


@checkpointed
async def wait() -> None: ...


@checkpointed
def first(items: list[T]) -> T:
    return items[0]


@checkpointed()
def plain(number: int) -> int:
    return number


class Repository:
    """Steps that are methods of every kind, in both orders of the decorators."""

    @checkpointed
    def backup(self, branch: str) -> Path:
        return Path(branch)

    @checkpointed(critical=True)
    async def clone(self, url: str) -> bool:
        return True

    @classmethod
    @checkpointed
    def make(cls, name: str) -> str:
        return name

    @staticmethod
    @checkpointed
    def join(left: str, right: str) -> str:
        return left + right


def check_functions() -> None:
    assert_type(align("login"), str)
    assert_type(align("login", strict=True), str)
    assert_type(push("login", client=object()), int)
    assert_type(plain(1), int)
    assert_type(first([1, 2]), int)
    assert_type(first(["a"]), str)
    handed_on: Callable[[str], str] = align
    assert_type(list(map(handed_on, ["login"])), list[str])


def check_refused_calls() -> None:
    align()  # type: ignore[call-arg]
    align(3)  # type: ignore[arg-type]
    align("login", True)  # type: ignore[call-arg]
    align("login", force=True)  # type: ignore[call-arg]
    push("login")  # type: ignore[call-arg]
    first(3)  # type: ignore[arg-type]
    Repository().backup()  # type: ignore[call-arg]
    Repository.join("a", 3)  # type: ignore[arg-type]


def check_methods() -> None:
    repository = Repository()
    assert_type(repository.backup("login"), Path)
    assert_type(Repository.backup(repository, "login"), Path)
    assert_type(Repository.make("name"), str)
    assert_type(Repository.join("a", "b"), str)
    assert_type(repository.join("a", "b"), str)


async def check_coroutines() -> None:
    assert_type(await fetch("https://example.org"), bytes)
    assert_type(await Repository().clone("https://example.org"), bool)
    pending: Awaitable[bytes] = fetch("https://example.org")
    coroutine: Coroutine[Any, Any, bytes] = fetch("https://example.org")
    assert_type(await pending, bytes)
    assert_type(await coroutine, bytes)
    await wait()
    await fetch(3)  # type: ignore[arg-type]


def check_refused_options() -> None:
    checkpointed(nme="align")  # type: ignore[call-overload]
    checkpointed(name=3)  # type: ignore[call-overload]
    checkpointed(critical="yes")  # type: ignore[call-overload]
    checkpointed(key="branch")  # type: ignore[call-overload]
    checkpointed("align")  # type: ignore[call-overload]


# Workflows: the type of the state is the type of `state=`.


def check_states() -> None:
    with workflow("align") as run:
        assert_type(run, Run[dict[str, Any]])
        assert_type(run.state, dict[str, Any])
        run.state["current"] = "login"
    with workflow("align", state=OrchestratorState) as of_class:
        assert_type(of_class, Run[OrchestratorState])
        assert_type(of_class.state.pending, list[str])
        of_class.state.pendng  # type: ignore[attr-defined]  # noqa: B018
    with workflow("align", state=OrchestratorState(pending=["login"])) as of_instance:
        assert_type(of_instance, Run[OrchestratorState])
        assert_type(of_instance.state.current, str | None)
    with workflow("align", state=Progress) as of_typed_dict:
        assert_type(of_typed_dict, Run[Progress])
        assert_type(of_typed_dict.state["done"], int)


async def check_async_with() -> None:
    async with workflow("align") as run:
        assert_type(run, Run[dict[str, Any]])
    async with workflow("align", state=OrchestratorState) as typed:
        assert_type(typed.state, OrchestratorState)


@workflow("nightly", key="2026-11-22", once=True)
def nightly(limit: int, *, verbose: bool = False) -> list[str]:
    return []


@workflow("crawl", state=OrchestratorState)
async def crawl(url: str) -> int:
    return 0


async def check_decorated() -> None:
    assert_type(nightly(3), list[str])
    assert_type(nightly(3, verbose=True), list[str])
    assert_type(await crawl("https://example.org"), int)
    nightly("3")  # type: ignore[arg-type]
    nightly()  # type: ignore[call-arg]
    await crawl(3)  # type: ignore[arg-type]


def check_options() -> None:
    workflow("align", key=None, once=False, fresh=True, store=None, output="lines")
    workflow("align", signals=(signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))
    workflow("align", store="runs")
    workflow("align", output="loud")  # type: ignore[call-overload]
    workflow("align", signals="SIGINT")  # type: ignore[arg-type]
    workflow("align", key=3)  # type: ignore[call-overload]
    workflow(3)  # type: ignore[call-overload]
    workflow("align", OrchestratorState)  # type: ignore[call-overload]
    workflow()  # type: ignore[call-overload]


def check_run(run: Run[OrchestratorState]) -> None:
    assert_type(run.id, str)
    assert_type(run.resumed, bool)
    assert_type(run.key, str | None)
    run.save()
    run.id = "7f3a"  # type: ignore[misc]
    assert_type(current_run(), Run[object])


def check_errors(error: errors.RunInUseError, damaged: errors.DamagedRunError) -> None:
    assert_type(error.owner, dict[str, Any])
    assert_type(error.slug, str)
    assert_type(damaged.line, int | None)
    base: CheckpointError = error
    store: errors.StoreError = damaged
    assert_type(base.facts, dict[str, Any])
    assert_type(store.path, str)


def check_modules() -> None:
    assert_type(checkpoint.CheckpointError("text").slug, str)
    assert_type(stores.__name__, str)
    assert_type(checkpoint.__version__, str)
