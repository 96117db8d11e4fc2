"""
Break one guarantee of the library at a time, and see whether the tests notice.

    python tests/nightly/mutations.py [--only NAME] ...

A copy of the checkout is made in a temporary directory.  Each mutation is one small edit of the copy's source; the old
text must be there exactly once, so that this list cannot fall behind the code.  The tests that are meant to catch it
run until the first failure.  Prints a table; the exit status is 1 if a mutation survives.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from _mutation import Mutation
from _mutations_of_runs import RUNS
from _mutations_of_stores import STORES

REPOSITORY = Path(__file__).resolve().parent.parent.parent

# A mutation may well make a test hang: that is noticed, too.
TEST_TIMEOUT_S = 30
TIMEOUT_S = 180
# Without any mutation, all of them run to the end.
WHOLE_TIMEOUT_S = 900

MUTATIONS = (*STORES, *RUNS)


def copied(directory: Path) -> Path:
    """Copy the checkout, without what earlier runs may have left there."""
    ignored = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".hypothesis", ".venv", "venv", "build", "dist")
    return Path(shutil.copytree(REPOSITORY, directory / "checkout", ignore=ignored))


def mutate(checkout: Path, mutation: Mutation) -> str:
    """Make the edit, and return the module as it was."""
    path = checkout / "checkpoint" / mutation.path
    source = path.read_text(encoding="utf-8")
    count = source.count(mutation.old)
    if count != 1:
        raise SystemExit(f"{mutation.name!r}: its old text is in checkpoint/{mutation.path} {count} times, not once")
    path.write_text(source.replace(mutation.old, mutation.new), encoding="utf-8")
    return source


def run_tests(checkout: Path, tests: tuple[str, ...], timeout_s: float = TIMEOUT_S) -> tuple[str, str]:
    """Run the tests; returns "caught", "hung" or "survived", and by which test."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"--timeout={TEST_TIMEOUT_S}"]
    command += [f"tests/{test}" for test in dict.fromkeys(tests) if (checkout / "tests" / test).exists()]
    environ = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile("w+") as output:
        # A session of its own, and no pipe: what hangs may have children that outlive it.
        child = subprocess.Popen(
            command, cwd=checkout, env=environ, stdout=output, stderr=output, start_new_session=True
        )
        try:
            child.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return "hung", ""
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        output.seek(0)
        said = output.read()
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    if child.returncode == 0:
        return "survived", ""
    if found is None and "Timeout" not in said:
        raise SystemExit(f"the tests did not run:\n{said}")
    return "caught", found[1].removeprefix("tests/") if found else "a test that hung"


def outcomes(checkout: Path, wanted: list[Mutation]) -> Iterator[tuple[Mutation, str, str, float]]:
    """Yield how each mutation came out, by which test, and in how many seconds."""
    for mutation in wanted:
        began_s = time.perf_counter()
        source = mutate(checkout, mutation)
        verdict, test = run_tests(checkout, mutation.tests)
        (checkout / "checkpoint" / mutation.path).write_text(source, encoding="utf-8")
        yield mutation, verdict, test, time.perf_counter() - began_s


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", action="append", help="only mutations whose name contains this")
    only = parser.parse_args().only or [""]
    wanted = [mutation for mutation in MUTATIONS if any(name in mutation.name for name in only)]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="checkpoint-mutations-") as directory:
        checkout = copied(Path(directory))
        everything = tuple(test for mutation in wanted for test in mutation.tests)
        verdict, test = run_tests(checkout, everything, WHOLE_TIMEOUT_S)
        if verdict != "survived":
            raise SystemExit(f"the tests fail without any mutation: {verdict} {test}")
        for mutation, verdict, test, seconds in outcomes(checkout, wanted):
            survivors += verdict == "survived"
            print(f"{verdict:8}  {mutation.name:55} {seconds:5.1f} s  {test}", flush=True)
    print(f"{len(wanted) - survivors} of {len(wanted)} caught")
    return 1 if survivors or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
