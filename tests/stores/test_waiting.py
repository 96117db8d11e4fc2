"""
Threads that share a flush: whatever becomes of the one that flushes, those that wait for it go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoint.stores import FileStore
from checkpoint.stores._files import Files


class Gated(Files):
    """A flush that goes through once somebody waits for it, and a mark that ends the thread which writes it."""

    def __init__(self, death: type[BaseException]) -> None:
        self.is_waited_for: Callable[[], bool] | None = None
        self._death = death

    def flush(self, descriptor: int) -> None:
        """Flush, when another thread waits for that."""
        while self.is_waited_for is not None and not self.is_waited_for():
            pass

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
        """End the thread that set the first mark after the gate was set up."""
        if self.is_waited_for is not None:
            self.is_waited_for = None
            raise self._death
        return super().write_at(descriptor, data, offset)


@pytest.mark.timeout(60)
def test_waiting_threads_go_on_if_the_one_that_flushes_dies(
    home: Path, writer: Any, death: type[BaseException]
) -> None:
    """A thread that dies between its flush and its mark leaves nobody waiting for ever."""
    files = Gated(death)
    session = writer(FileStore(home, _files=files)).begin()
    first, second = session.append(), session.append(key="b" * 32)
    files.is_waited_for = lambda: bool(session.journal._flushed._waiters)
    died: list[BaseException] = []

    def flush(number: int) -> None:
        try:
            session.journal.sync(number)
        except BaseException as error:
            died.append(error)

    threads = [threading.Thread(target=flush, args=(line.number,)) for line in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [death] == [type(error) for error in died]
    session.close()
    assert session.submitted == writer(FileStore(home)).submitted
