"""
What the library costs, measured beside what the same work costs without it.  Not part of the test run.

    python tests/bench/bench.py [--quick] [--only WORD] [--dir PATH]

Both sides of a ratio are measured in one process, in turns, so that a busy machine slows both.  Times of single
calls are medians; "best" says that the best of several runs was taken.  Files are written beneath --dir, which
should be on the disk that is to be judged.  Peak memory is read where Linux says it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

Row = tuple[str, str, str]


class Bench:
    """Runs the measurements in a directory of its own and collects the rows of the table."""

    def __init__(self, directory: Path, *, quick: bool) -> None:
        self.directory = directory
        self.quick = quick
        self.rows: list[Row] = []

    def add(self, what: str, measured: str, goal: str = "") -> None:
        self.rows.append((what, measured, goal))
        print(f"{what:<58} {measured:>30}   {goal}", flush=True)

    def store(self, name: str, durability: str = "process") -> Any:
        from checkpoint.stores import FileStore

        return FileStore(self.directory / name, durability=durability)  # type: ignore[arg-type]  # one of two words


@contextlib.contextmanager
def run(bench: Bench, name: str, durability: str = "process", **options: Any) -> Iterator[Any]:
    """Open a run that says nothing."""
    from checkpoint import workflow

    with workflow("bench", store=bench.store(name, durability), output="off", **options) as opened:
        yield opened


@contextlib.contextmanager
def unfinished(bench: Bench, name: str) -> Iterator[None]:
    """Open a run and leave it as one that failed, so that the next one continues it."""
    with contextlib.suppress(InterruptedError), run(bench, name):
        yield
        raise InterruptedError


def step() -> Callable[[int], int]:
    from checkpoint import checkpointed

    @checkpointed(name="double")
    def double(number: int) -> int:
        return 2 * number

    return double


def times_of(call: Callable[[int], object], numbers: range) -> list[float]:
    """Return how many microseconds each call took."""
    clock = time.perf_counter
    found: list[float] = []
    for number in numbers:
        began = clock()
        call(number)
        found.append((clock() - began) * 1e6)
    return found


def kept_calls(bench: Bench) -> None:
    count = 2_000 if bench.quick else 10_000
    double = step()
    with unfinished(bench, "kept"):
        times_of(double, range(count))
    with run(bench, "kept"):
        kept = times_of(double, range(count))
    bench.add("kept call", f"{statistics.median(kept):.1f} us", "<= 20 us")


def new_calls(bench: Bench) -> None:
    count = 2_000 if bench.quick else 10_000
    double = step()
    with run(bench, "process"):
        bench.add(
            'new call, durability="process"', f"{statistics.median(times_of(double, range(count))):.1f} us", "<= 50 us"
        )


def durable_calls(bench: Bench) -> None:
    """A step's two records against one append and fdatasync of as many bytes, in turns on one disk."""
    count = 100 if bench.quick else 500
    double = step()
    ours: list[float] = []
    raw: list[float] = []
    with run(bench, "full", "full"):
        journal = next((bench.directory / "full").rglob("journal.jsonl"))
        double(-1)
        size = journal.stat().st_size
        double(-2)
        block = b"x" * (journal.stat().st_size - size)
        handle = os.open(bench.directory / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        for number in range(count):
            ours += times_of(double, range(number, number + 1))
            raw += times_of(lambda _: _append_durably(handle, block), range(1))
        os.close(handle)
    mine, theirs = statistics.median(ours), statistics.median(raw)
    bench.add(
        "new call, full, against raw append+fdatasync", f"{mine:.0f} / {theirs:.0f} us = {mine / theirs:.2f}", "<= 1.2"
    )


def _append_durably(handle: int, block: bytes) -> None:
    os.write(handle, block)
    os.fdatasync(handle)


def flatness(bench: Bench) -> None:
    """The cost of the calls about the 1,000th against those about the 100,000th; and opening what they left."""
    count = 10_000 if bench.quick else 100_000
    double = step()
    found: list[float] = []
    with unfinished(bench, "flat"):
        found += times_of(double, range(count))
    early, late = statistics.median(found[500:1500]), statistics.median(found[-1000:])
    bench.add(f"new call, 1,000th against {count:,}th", f"{early:.1f} -> {late:.1f} us = {late / early:.2f}", "flat")
    began = time.perf_counter()
    opened: list[float] = []
    with unfinished(bench, "flat"):
        opened += [time.perf_counter() - began]
        found[:] = times_of(double, range(count))
    journal = next((bench.directory / "flat").rglob("journal.jsonl"))
    size = journal.stat().st_size
    began = time.perf_counter()
    journal.read_bytes()
    read = time.perf_counter() - began
    bench.add(
        f"opening a run of {count:,} steps ({size / 1e6:.0f} MB)",
        f"{opened[0]:.2f} s (reading {read:.2f} s)",
        "< 0.5 s",
    )
    bench.add(f"kept call in a run of {count:,} steps", f"{statistics.median(found):.1f} us", "<= 20 us")


def states(bench: Bench) -> None:
    """What a state adds to a step that does not touch it, and to one that appends to it."""
    count = 200 if bench.quick else 1_000
    double = step()
    makers: list[tuple[str, Callable[[], Any], Callable[[Any, int], object]]] = [
        ("10,000 strings", lambda: [f"feature/branch-{number}" for number in range(10_000)], _append),
        ("500 dicts", lambda: {f"b{number}": _entry(number) for number in range(500)}, _insert),
    ]
    with run(bench, "bare"):
        bare = statistics.median(times_of(double, range(count)))
    for name, make, change in makers:
        with run(bench, name) as opened:
            opened.state["held"] = make()
            still = statistics.median(times_of(double, range(count))[1:])
            moving = statistics.median(
                times_of(_changing(opened.state["held"], change, double), range(count, 2 * count))
            )
        bench.add(f"a state of {name} adds to a step", f"{(still - bare) / 1e3:.2f} ms unchanged", "<= 2 ms")
        bench.add(f"a state of {name} adds, one more each step", f"{(moving - bare) / 1e3:.2f} ms", "<= 2 ms")


def _entry(number: int) -> dict[str, str]:
    return {"name": f"n{number}", "target": "main", "status": "done", "sha": "0" * 40}


def _changing(held: Any, change: Callable[[Any, int], object], double: Callable[[int], int]) -> Callable[[int], object]:
    def call(number: int) -> None:
        change(held, number)
        double(number)

    return call


def _append(held: Any, number: int) -> None:
    held.append(f"more-{number}")


def _insert(held: Any, number: int) -> None:
    held[f"more-{number}"] = _entry(number)


_ARRAY = """
import sys, time
import numpy
sys.path.insert(0, {repository!r})
from checkpoint import checkpointed, workflow
from checkpoint.stores import FileStore
# Not made when it is to be loaded: what it took would hide what loading takes.
made = None if {loading} else numpy.arange({size} // 8, dtype=numpy.int64)
@checkpointed
def make():
    return made
def peak():
    # Not getrusage, which begins with what the process had before it became this program.
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
try:
    with workflow("array", store=FileStore({home!r}), output="off"):
        before = peak()
        began = time.perf_counter()
        make()
        print(time.perf_counter() - began, peak() - before)
        raise KeyError
except KeyError:
    pass
"""

_PICKLED = """
import os, pickle, sys, time
import numpy
made = numpy.arange({size} // 8, dtype=numpy.int64)
began = time.perf_counter()
if {loading}:
    with open({home!r}, "rb") as file:
        pickle.loads(file.read())
else:
    with open({home!r}, "wb") as file:
        file.write(pickle.dumps(made, 5))
        file.flush()
        os.fsync(file.fileno())
print(time.perf_counter() - began, 0)
"""


def arrays(bench: Bench) -> None:
    size = 10_000_000 if bench.quick else 100_000_000
    rounds = 2 if bench.quick else 5
    for loading in (False, True):
        ours: list[tuple[float, float]] = []
        theirs: list[tuple[float, float]] = []
        for number in range(rounds):
            values = {"repository": str(REPOSITORY), "size": size, "loading": loading}
            home = str(bench.directory / f"array{number}")
            ours.append(_child(_ARRAY.format(home=home, **values)))
            theirs.append(_child(_PICKLED.format(home=home + ".pickle", **values)))
        mine, other = min(ours)[0], min(theirs)[0]
        what = "loading" if loading else "saving"
        beside = "read + unpickle" if loading else "pickle + write + fsync"
        bench.add(
            f"{what} a {size // 1_000_000} MB array against {beside}",
            f"{mine * 1e3:.0f} / {other * 1e3:.0f} ms = {mine / other:.2f}",
            "<= 1.5",
        )
        more = min(memory for _, memory in ours)
        bench.add(f"{what}: peak memory above what was there", f"{more:.0f} MB", "0 saving, 100 loading")


def _child(source: str) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def imports(bench: Bench) -> None:
    """User and system time of whole interpreters: wall time would measure what else the machine does."""
    rounds = 5 if bench.quick else 10
    sources = {
        "bare": "pass",
        "import checkpoint": "import checkpoint",
        "from checkpoint import checkpointed, workflow": "from checkpoint import checkpointed, workflow",
        "a decorated function and an empty workflow": textwrap.dedent(
            """
            from checkpoint import checkpointed, workflow
            from checkpoint.stores import MemoryStore
            @checkpointed
            def f(): ...
            with workflow("w", store=MemoryStore(), output="off"): f()
            """
        ),
    }
    best = dict.fromkeys(sources, float("inf"))
    for _ in range(rounds):
        for name, source in sources.items():
            best[name] = min(best[name], _processor_s(source))
    for name, seconds in best.items():
        if name != "bare":
            bench.add(
                f"{name}, over bare Python (best)", f"{(seconds - best['bare']) * 1e3:.0f} ms", "<= 40 ms to import"
            )


def _processor_s(source: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", source], cwd=REPOSITORY, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller numbers: does it all run?")
    parser.add_argument("--only", default="", help="only the measurements whose name has this word")
    parser.add_argument("--dir", type=Path, default=None, help="where to write; the default is the temporary directory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="checkpoint-bench-", dir=options.dir) as directory:
        # Never the developer's own runs.
        os.environ |= {"CHECKPOINT_HOME": directory + "/home", "CHECKPOINT_KEY_FILE": directory + "/key"}
        bench = Bench(Path(directory), quick=options.quick)
        for measure in (kept_calls, new_calls, durable_calls, flatness, states, arrays, imports):
            if options.only in measure.__name__:
                measure(bench)


if __name__ == "__main__":
    main()
