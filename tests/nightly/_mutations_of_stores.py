"""
Guarantees of the files: what is durable, what is whole, and whose it is.
"""

from __future__ import annotations

from _mutation import DAMAGE, FAULTS, POWER, PROCESSES, STEPS, Mutation

STORES = (
    Mutation(
        "files are not flushed",
        "stores/_files.py",
        "        _flush(descriptor)\n\n    def flush_directory",
        "        pass\n\n    def flush_directory",
        POWER,
    ),
    Mutation(
        "a record is not flushed before it is acknowledged",
        "stores/_journal.py",
        "            self._files.flush(self._descriptor)\n            for directory",
        "            for directory",
        POWER,
    ),
    Mutation(
        "names are not flushed with the first record",
        "stores/_journal.py",
        "                self._files.flush_directory(directory)\n",
        "                pass\n",
        POWER,
    ),
    Mutation(
        "directories are not flushed",
        "stores/_files.py",
        "            _flush_names(descriptor)\n        finally:",
        "            pass\n        finally:",
        POWER,
    ),
    Mutation(
        "a payload is not flushed before it is renamed",
        "stores/_payloads.py",
        "            if flushed:\n                files.flush(descriptor)\n        finally:",
        "        finally:",
        POWER,
    ),
    Mutation(
        "the name of a payload is not flushed",
        "stores/_payloads.py",
        "    if flushed:\n        files.flush_directory(folder)\n",
        "",
        POWER,
    ),
    Mutation(
        "opening acknowledges what may not be on the disk",
        "stores/file.py",
        "        journal.settle()\n",
        "",
        POWER,
    ),
    Mutation(
        "the mark is set before the flush",
        "stores/_journal.py",
        "        try:\n            self._files.flush(self._descriptor)\n            for",
        "        self._acknowledge(end)\n        try:\n"
        "            self._files.flush(self._descriptor)\n            for",
        FAULTS,
    ),
    Mutation(
        "state.json is written before anything is durable",
        "stores/_journal.py",
        "        if not self._acknowledged.count:\n            return\n        place",
        "        place",
        ("stores/test_contract.py", *FAULTS),
    ),
    Mutation(
        "a wrong checksum is accepted",
        "_core/lines.py",
        'return "" if claimed == computed.encode("ascii") else "its checksum is wrong"',
        'return ""',
        DAMAGE,
    ),
    Mutation(
        "the number of a record is not looked at",
        "_core/lines.py",
        "    if int(head[1]) != number:\n",
        "    if False:\n",
        DAMAGE,
    ),
    Mutation(
        "the mark is not compared with the journal",
        "_core/lines.py",
        "    if mark is not None and (refusal := _against_mark(data, end, count, mark)):\n",
        "    if False:\n",
        DAMAGE,
    ),
    Mutation(
        "the contents of a payload are not checked",
        "stores/_payloads.py",
        "        if checksum.hexdigest() != digest:\n",
        "        if False:\n",
        ("stores/test_damage.py", "stores/test_contract.py"),
    ),
    Mutation(
        "the lock is not asked",
        "stores/_files.py",
        "            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            pass\n",
        PROCESSES,
    ),
    Mutation(
        "the lock is not given up where others inherited it",
        "stores/_ownership.py",
        "                self._files.unlock(self._descriptor)\n            with",
        "                pass\n            with",
        PROCESSES,
    ),
    Mutation(
        "one process may own a run twice",
        "stores/_ownership.py",
        "        if _owner_here(files, path) is not None:\n            return None\n        descriptor",
        "        descriptor",
        (*PROCESSES, "stores/test_contract.py", "proof/test_guarantees.py"),
    ),
    Mutation(
        "choosing a run is not locked",
        "stores/_ownership.py",
        "            while not files.try_lock(descriptor):\n",
        "            while False:\n",
        (*PROCESSES, "proof/test_guarantees.py"),
    ),
    Mutation(
        "a forked child goes on with its parent's run",
        "_runtime/opening.py",
        "        os.register_at_fork(after_in_child=disown)\n",
        "        pass\n",
        ("test_threads.py", "test_workflow.py", *STEPS, "proof/test_guarantees.py"),
    ),
    Mutation(
        "a forked child may write to the journal",
        "stores/_ownership.py",
        "            ownership.forked = True\n",
        "            pass\n",
        ("stores/test_processes.py", "stores/test_ends.py"),
    ),
    Mutation(
        "a second writer is not noticed",
        "stores/_journal.py",
        "        if facts.st_size != self._end.size:\n",
        "        if False:\n",
        FAULTS,
    ),
    Mutation(
        "a torn append is not cut off",
        "stores/_journal.py",
        "        try:\n            self._mend()\n        except SaveError:",
        "        try:\n            self._dirty = False\n        except SaveError:",
        FAULTS,
    ),
    Mutation(
        "writing goes on after a failed flush",
        "stores/_journal.py",
        "        self._failure = failure\n        with suppress(OSError):\n            self._files.truncate(",
        "        with suppress(OSError):\n            self._files.truncate(",
        FAULTS,
    ),
    Mutation(
        "a failed flush leaves what was not acknowledged",
        "stores/_journal.py",
        "            self._files.truncate(self._descriptor, self._acknowledged.size)\n",
        "            pass\n",
        FAULTS,
    ),
)
