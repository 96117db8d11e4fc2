"""
All stores agree: whatever is asked of them, in any order, they give the same answers and raise the same errors.

`tests/stores/test_contract.py` says what the answers are; here nobody knows them, they only have to be equal.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from checkpoint._core.lines import Chain
from checkpoint._core.records import FORMAT, Line
from checkpoint.errors import CheckpointError
from checkpoint.stores import FileStore, MemoryStore, Store
from tests.proof.machines.life import MortalFiles
from tests.proof.machines.profiles import profile

WORKFLOWS = st.sampled_from(["align", "a/b"])
KEYS = st.sampled_from([None, "", "a"])
KINDS = st.sampled_from(["started", "completed", "saved", "finished", "failed", "stopped"])
PAYLOADS = st.sampled_from([b"", b"abc", b"abd", b"p" * 40_000])
NUMBER = 3


class Opened:
    """
    One journal, in every store.

    Attributes:
        workflow, key: Which run was asked for.
        run: The run, counted in the order runs were begun.
        journals: What each store gave.
        chain: Seals the lines, which are the same for all.
        at: When the run is said to have been created.
    """

    def __init__(self, workflow: str, key: str | None, run: int, journals: list[Any], data: bytes, at: str) -> None:
        self.workflow = workflow
        self.key = key
        self.run = run
        self.journals = journals
        self.chain = Chain.resume(data)
        self.at = at

    def seal(self, kind: str) -> Line:
        """Return the next line: the first names the run, and the second who owns it."""
        number = self.chain.count
        if number == 0:
            tree = {
                "at": self.at,
                "format": FORMAT,
                "workflow": self.workflow,
                "key_of_run": self.key,
                "command": ["x"],
            }
            return self.chain.seal("run", "created", json.dumps(tree)[1:-1])
        if number == 1:
            return self.chain.seal("run", "opened", f'"at":"{self.at}","pid":1,"host":"h","command":"x"')
        key = "run" if kind in ("saved", "finished", "failed", "stopped") else "a" * 32 + ".0"
        return self.chain.seal(key, kind, f'"at":"{self.at}"')


class Agreement(RuleBasedStateMachine):
    """Does the same to every store, and compares what comes of it."""

    base: ClassVar[Path]
    homes: ClassVar[Any] = itertools.count()
    outcomes: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.home = self.base / f"stores{next(self.homes)}"
        self.home.mkdir(mode=0o700)
        self.stores: list[Store] = [
            MemoryStore(),
            FileStore(self.home / "full", _files=MortalFiles()),
            FileStore(self.home / "process", durability="process", _files=MortalFiles()),
        ]
        self.ids: list[dict[str, int]] = [{} for _ in self.stores]
        self.begun: set[tuple[str, int]] = set()
        self.opened: list[Opened] = []
        self.clock = itertools.count()

    def _agree(self, ask: Callable[[int], Any]) -> Any:
        """Ask every store, and return the answer that all of them give; errors are answers."""
        answers = [self._answer(ask, number) for number in range(NUMBER)]
        assert answers[0] == answers[1], "memory and files"
        assert answers[0] == answers[2], "memory and files without syncs"
        answer = answers[0]
        self.outcomes["refused" if answer[0] == "raised" else "answered"] += 1
        return answer

    def _answer(self, ask: Callable[[int], Any], number: int) -> tuple[Any, ...]:
        try:
            return "gave", ask(number)
        except CheckpointError as error:
            facts = {name: value for name, value in error.facts.items() if name in ("owner", "workflow", "errno")}
            run = self.ids[number].get(str(error.facts.get("run")))
            return "raised", type(error), error.slug, facts, run
        except ValueError as error:
            return "raised", ValueError, str(error)

    def _run(self, number: int, run: str) -> int:
        """Return which run an id of a store means."""
        return self.ids[number].setdefault(run, len(self.ids[number]))

    def _id(self, number: int, run: int) -> str:
        """Return the id of a run in a store."""
        return next((name for name, known in self.ids[number].items() if known == run), "20261122T100000-0000")

    @rule(workflow=WORKFLOWS, key=KEYS, fresh=st.booleans(), once=st.booleans())
    def open(self, workflow: str, key: str | None, fresh: bool, once: bool) -> None:
        """Ask for the run to work on."""
        journals: list[Any] = [None] * NUMBER

        def ask(number: int) -> tuple[int, bytes, bool, list[str]]:
            run, journals[number] = self.stores[number].open(workflow, key=key, fresh=fresh, once=once)
            journal = journals[number]
            return self._run(number, run), journal.records(), journal.private, journal.notes

        answer = self._agree(ask)
        if answer[0] == "gave":
            run, data = answer[1][:2]
            at = f"2026-11-22T10:{next(self.clock):02d}:00.000Z"
            self.opened.append(Opened(workflow, key, run, journals, data, at))

    @precondition(lambda self: self.opened)
    @rule(data=st.data(), kinds=st.lists(KINDS, min_size=1, max_size=4), sync=st.booleans())
    def append(self, data: Any, kinds: list[str], sync: bool) -> None:
        """Add lines at the end, to a journal that may have been given up."""
        opened = data.draw(st.sampled_from(self.opened))
        for kind in kinds:
            line = opened.seal(kind)
            if self._agree(lambda number, line=line: opened.journals[number].append(line))[0] == "gave":
                opened.chain.accept(line)
                self.begun.add((opened.workflow, opened.run))
        if sync:
            self._agree(lambda number: opened.journals[number].sync(opened.chain.count - 1))

    @precondition(lambda self: self.opened)
    @rule(data=st.data(), what=st.sampled_from(["twice", "later", "foreign"]))
    def append_wrong(self, data: Any, what: str) -> None:
        """Add a line that is not the next one, or begin a run that is not the one that was asked for."""
        opened = data.draw(st.sampled_from(self.opened))
        count = opened.chain.count
        if what == "foreign":
            other = Opened(opened.workflow + "x", opened.key, opened.run, [], b"", opened.at)
            line = other.seal("created")
        else:
            line = Line(count - 1 if what == "twice" else count + 1, opened.seal("started").data, "0" * 16)
        if what != "foreign" or count == 0:
            answer = self._agree(lambda number: opened.journals[number].append(line))
            assert "raised" == answer[0]

    @precondition(lambda self: self.opened)
    @rule(data=st.data(), ahead=st.integers(-2, 2))
    def sync(self, data: Any, ahead: int) -> None:
        """Ask for a line to be durable that may not be there."""
        opened = data.draw(st.sampled_from(self.opened))
        self._agree(lambda number: opened.journals[number].sync(max(opened.chain.count + ahead, 0)))

    @precondition(lambda self: self.opened)
    @rule(data=st.data(), payload=PAYLOADS, lie=st.booleans())
    def put(self, data: Any, payload: bytes, lie: bool) -> None:
        """Keep a payload, perhaps one that changes while it is saved."""
        opened = data.draw(st.sampled_from(self.opened))
        digest = hashlib.sha256(payload).hexdigest()
        changed = bytearray(payload + b"!" if lie else payload)
        self._agree(lambda number: opened.journals[number].put(digest, memoryview(changed)))

    @precondition(lambda self: self.opened)
    @rule(data=st.data(), payload=PAYLOADS, more=st.sampled_from([0, 0, 1]))
    def get(self, data: Any, payload: bytes, more: int) -> None:
        """Ask for a payload that may not be there, or not be of this size."""
        opened = data.draw(st.sampled_from(self.opened))
        digest = hashlib.sha256(payload).hexdigest()
        self._agree(lambda number: opened.journals[number].get(digest, len(payload) + more))

    @precondition(lambda self: self.opened)
    @rule(data=st.data())
    def records(self, data: Any) -> None:
        """Ask for all lines again."""
        opened = data.draw(st.sampled_from(self.opened))
        self._agree(lambda number: opened.journals[number].records())

    @precondition(lambda self: self.opened)
    @rule(data=st.data())
    def publish(self, data: Any) -> None:
        """Replace the summary."""
        opened = data.draw(st.sampled_from(self.opened))
        self._agree(lambda number: opened.journals[number].publish({"status": "running"}))

    @precondition(lambda self: self.opened)
    @rule(data=st.data())
    def close(self, data: Any) -> None:
        """Give a run up, perhaps again."""
        opened = data.draw(st.sampled_from(self.opened))
        self._agree(lambda number: opened.journals[number].close())

    @rule(workflow=st.one_of(st.none(), WORKFLOWS, st.just("unknown")))
    def runs(self, workflow: str | None) -> None:
        """List the runs there are."""
        self._agree(
            lambda number: [
                (self._run(number, run.id), run.workflow, run.key, run.status, run.at, run.command)
                for run in self.stores[number].runs(workflow)
            ]
        )

    @rule(data=st.data(), name=st.sampled_from(["read", "read", "delete"]))
    def look_or_delete(self, data: Any, name: str) -> None:
        """Read or remove a run that was begun, perhaps one that is open or gone, or one that never was."""
        workflow, run = data.draw(st.sampled_from([*sorted(self.begun), ("align", -1), ("unknown", -1)]))
        self._agree(lambda number: getattr(self.stores[number], name)(workflow, self._id(number, run)))

    def teardown(self) -> None:
        """Give everything up."""
        for opened in self.opened:
            for journal in opened.journals:
                with suppress(CheckpointError):
                    journal.close()
        shutil.rmtree(self.home)


@pytest.mark.slow
def test_stores_agree(tmp_path: Path, faults: Any) -> None:
    """Memory, files, and files without syncs cannot be told apart by what they answer and raise."""
    tmp_path.chmod(0o700)
    Agreement.base = tmp_path
    Agreement.outcomes.clear()
    run_state_machine_as_test(Agreement, settings=profile(examples=200, steps=40))
    assert Agreement.outcomes["refused"] > 500
    faults.count("a request that all stores refused alike", Agreement.outcomes["refused"])
