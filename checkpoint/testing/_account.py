"""
What one life did, as data that can be sent through a pipe: its points, its calls, the ends of its runs, its result.
"""

from __future__ import annotations

import json
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checkpoint._core import lines
from checkpoint._core.progress import Progress
from checkpoint.errors import CheckpointError
from checkpoint.stores import MemoryStore
from checkpoint.testing._child import run_in_child
from checkpoint.testing._crash import finish
from checkpoint.testing._disk import Disk
from checkpoint.testing._faults import How, Point, is_of_testing
from checkpoint.testing._life import CallId, Life, Trigger, never
from checkpoint.testing._values import Left, Value, portable, take
from checkpoint.testing._watched import Watched

if TYPE_CHECKING:
    from checkpoint._runtime.opening import Request
    from checkpoint._runtime.session import Session

# Our own frames say nothing of the user's error.
_HERE = __name__.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class RunEnd:
    """
    One run as its journal has it after a life.

    Attributes:
        workflow, key, id: Which run it is.
        is_finished: Whether its last record says so.
        is_reopened: Whether the same command opens it again when it is finished: `once=True`.
        state: The state as JSON text.
    """

    workflow: str
    key: str | None
    id: str
    is_finished: bool
    is_reopened: bool
    state: str


@dataclass(slots=True)
class Account:
    """
    What one life did.

    Attributes:
        fired: Where the fault began, or None.
        points: Every point it came to.
        entered: The calls whose body began, in order, as step and call for people.
        acknowledged: Those whose result was saved.
        kept: The calls whose saved result was handed out.
        own: What each call's own body did, if effects were watched.
        runs: The runs it worked on.
        result: What the function returned, or None if it did not return.
        failure: The traceback of what left the function, or the name of what the fault raised, or "".
        left: What the process that lived it saw at the end, if it was asked.
        is_in_memory: Whether one of its runs is kept in memory.
        stores: The stores in memory that it used, one for each run; not of a life in a child.
    """

    fired: Point | None = None
    points: list[Point] = field(default_factory=list)
    entered: dict[CallId, tuple[str, str]] = field(default_factory=dict)
    acknowledged: list[CallId] = field(default_factory=list)
    kept: list[CallId] = field(default_factory=list)
    own: dict[CallId, Counter[Any]] = field(default_factory=dict)
    runs: list[RunEnd] = field(default_factory=list)
    result: Value | None = None
    failure: str = ""
    left: Left | None = None
    is_in_memory: bool = False
    stores: list[MemoryStore] = field(default_factory=list)

    @property
    def repeatable(self) -> list[CallId]:
        """The calls that may run again in the next life: begun, and never acknowledged."""
        acknowledged = set(self.acknowledged)
        return [call for call in self.entered if call not in acknowledged]


@dataclass(frozen=True, slots=True)
class Scene:
    """
    Where lives take place.

    Attributes:
        run: The function whose workflow is tested.
        world: What it is called with.
        home: The directory of the runs; shared by the lives that follow each other.
        disk: What is durable, or None if no power goes off.
        in_child: Whether lives are lived in forked children.
    """

    run: Callable[[Any], Any]
    world: Any
    home: Path
    disk: Disk | None
    in_child: bool


def live(
    scene: Scene,
    trigger: Trigger = never,
    how: How = "crash",
    ask: Callable[[], Counter[Any]] | None = None,
    look: Callable[[], Left] | None = None,
) -> Account:
    """
    Live one life in the scene; no exception of the simulated process gets out.

    Args:
        scene: Where.
        trigger: Says at which point a fault begins.
        how: What the fault is.
        ask: Returns what has happened so far; called around every body.
        look: Returns what was left behind; called at the end, in the process that lived.
    """
    if not scene.in_child:
        life = Life(trigger, how, disk=scene.disk) if ask is None else Watched(ask)
        return _live_here(scene, life, how, look)

    def in_child(send: Callable[[object], object]) -> None:
        life = Life(trigger, how, last_words=lambda: send(_take_down(life))) if ask is None else Watched(ask)
        account = _live_here(scene, life, how, look)
        account.result = portable(account.result)
        if account.left is not None:
            account.left = Left(portable(account.left.outcome), account.left.effects)
        send(account)

    ended = run_in_child(in_child)
    if ended.failure or ended.said is None:
        return Account(failure=ended.failure or f"the child ended with status {ended.status}")
    account: Account = ended.said
    return account


def _live_here(scene: Scene, life: Life, how: How, look: Callable[[], Left] | None) -> Account:
    result, failure = None, ""
    with surroundings(CHECKPOINT_HOME=str(scene.home), CHECKPOINT_OUTPUT="off"):
        with life.lived():
            try:
                result = take(finish(scene.run, scene.world))
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and not _is_simulated(life, how):
                    raise  # the person who runs the tests
                if is_of_testing(error):
                    raise  # a time limit, pytest.skip, pytest.exit
                if isinstance(error, SystemExit) and error.code in (None, 0) and life.fired is None:
                    result = take(None)  # how a program's main function may return
                else:
                    failure = _told(error, life)
        account = _take_down(life)
    account.result, account.failure = result, failure
    account.left = None if look is None else look()
    stores = [request.store for request, _ in life.opened if isinstance(request.store, MemoryStore)]
    account.is_in_memory = bool(stores)
    account.stores = stores if not scene.in_child else []
    return account


def _is_simulated(life: Life, how: How) -> bool:
    return life.fired is not None and (how == "SIGINT" or isinstance(life.raised, KeyboardInterrupt))


def _told(error: BaseException, life: Life) -> str:
    """Return the traceback of what left the function; of a fault only its name, since making one takes a while."""
    if life.fired is not None:
        return repr(error)
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(_HERE):
        frames = frames.tb_next
    return "".join(traceback.format_exception(error.with_traceback(frames)))


def _take_down(life: Life) -> Account:
    return Account(
        fired=life.fired,
        points=life.points,
        entered={call: (attempt.definition.name, attempt.show()) for call, attempt in life.entered.items()},
        acknowledged=list(life.acknowledged),
        kept=list(life.kept_calls),
        own=life.own if isinstance(life, Watched) else {},
        runs=[_end_of(request, session) for request, session in life.opened],
    )


def _end_of(request: Request, session: Session) -> RunEnd:
    try:
        progress = Progress(lines.split(request.store.read(session.workflow, session.id)))
        last = json.loads(progress.run_records[-1])["kind"] if progress.run_records else ""
        state = json.dumps(progress.state().tree, sort_keys=True)
    except (CheckpointError, ValueError):
        last, state = "", ""  # a power cut took it
    return RunEnd(session.workflow, session.key, session.id, last == "finished", request.once, state)


@contextmanager
def surroundings(**variables: str) -> Iterator[None]:
    """Set variables, and put the whole environment and the working directory back at the end of the block."""
    directory, before = os.getcwd(), dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.chdir(directory)
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})
