"""
Guarantees of the runs: what is acknowledged when, signals, the state, and which call is which.
"""

from __future__ import annotations

from _mutation import SIGNALS, STATE, STEPS, Mutation

RUNS = (
    Mutation(
        "a payload is put after its record",
        "_runtime/session.py",
        "            for digest, data in encoded.payloads.items():\n                self.journal.put(digest, data)\n"
        "            with self.lock:",
        "            with self.lock:",
        (*STEPS, "proof/test_guarantees.py"),
    ),
    Mutation(
        "a result is handed back before it is durable",
        "_runtime/session.py",
        "                self._remember(attempt, line.data)\n            self.journal.sync(line.number)\n",
        "                self._remember(attempt, line.data)\n",
        (*STEPS, "proof/test_guarantees.py"),
    ),
    Mutation(
        "the beginning of a critical step is not durable",
        "_runtime/session.py",
        "            self.journal.sync(number)\n            attempt.holds_signals = True\n",
        "            attempt.holds_signals = True\n",
        (*STEPS, "end_to_end/test_critical.py", "proof/test_guarantees.py"),
    ),
    Mutation(
        "a critical step is cut by the first signal",
        "_runtime/signals.py",
        "        if self._critical and self._waiting is None:\n",
        "        if False:\n",
        ("runtime/test_signals.py", "end_to_end/test_critical.py"),
    ),
    Mutation(
        "signals are delivered in our own code",
        "_runtime/signals.py",
        "        if name.startswith(_OWN) and not name.startswith(_NOT_OWN):\n            return True\n",
        "",
        SIGNALS,
    ),
    Mutation(
        "a signal that was held back is lost",
        "_runtime/signals.py",
        "            self._held.clear()\n            self._arrive(number, None)\n",
        "            self._held.clear()\n",
        SIGNALS,
    ),
    Mutation(
        "stretches are not listed in the records",
        "_runtime/keeper.py",
        """        text = f'"stretches":{_dump(list(names))},' if names else ""\n""",
        '        text = ""\n',
        STATE,
    ),
    Mutation(
        "a replayed stretch is not taken back",
        "_runtime/keeper.py",
        "            self._restore(self._baseline)\n            self._stretches.discard()\n            return\n",
        "            self._stretches.discard()\n            return\n",
        STATE,
    ),
    Mutation(
        "a stretch caught in the middle is not gone back on",
        "_runtime/keeper.py",
        "    def _go_back(self) -> None:\n        self._restore(self._base)\n",
        "    def _go_back(self) -> None:\n",
        (*STATE, "runtime/test_keeper.py", "proof/test_guarantees.py"),
    ),
    Mutation(
        "half a step's changes stay",
        "_runtime/keeper.py",
        "        self._restore(self._settled)\n        self._baseline = self._settled\n",
        "",
        STATE,
    ),
    Mutation(
        "a replay that a signal ends is not taken back",
        "_runtime/closing.py",
        "                session.flow.keeper.take_back_replay()\n                fields,",
        "                fields,",
        (*STATE, "proof/test_guarantees.py"),
    ),
    Mutation(
        "the state is not restored in place",
        "_core/state_turning.py",
        "            del value[start:old]\n",
        "            return False\n",
        ("core/test_state_turning.py", "core/test_state_memory.py"),
    ),
    Mutation(
        "the seal of a pickle is not checked",
        "_core/codec_seal.py",
        "    return hmac.compare_digest(seal(secret, call_key, digest, members), found)\n",
        "    return True\n",
        ("core/test_codec_trust.py",),
    ),
    Mutation(
        "a pickle is trusted where others can write",
        "_core/codec_reading.py",
        "    if not reading.private:\n",
        "    if False:\n",
        ("core/test_codec_trust.py",),
    ),
    Mutation(
        "equal calls are not counted",
        "_core/progress.py",
        "        self._next[digest] = number + 1\n",
        "        self._next[digest] = number\n",
        ("core/test_progress.py", "test_step.py"),
    ),
    Mutation(
        "a failed call keeps its number",
        "_core/progress.py",
        "        self._freed.setdefault(digest, []).append(number)\n",
        "        pass\n",
        ("core/test_progress.py", "test_step.py"),
    ),
    Mutation(
        "a call is found by the arguments' number alone",
        "_runtime/attempt.py",
        r'{definition.version}\n{self.identity}")',
        r'{definition.version}")',
        ("test_step.py",),
    ),
    Mutation(
        "the enclosing step does not count",
        "_runtime/attempt.py",
        r'f"{parent.key}\n{definition.name}',
        r'f"{definition.name}',
        (*STEPS, "proof/test_guarantees.py"),
    ),
    Mutation(
        "two functions may share a name",
        "_runtime/session.py",
        "            check_same_function(known, definition)\n",
        "",
        STEPS,
    ),
    Mutation(
        "a finished run is worked on again",
        "_runtime/session.py",
        "        if self.is_over:\n            raise finished_run(",
        "        if False:\n            raise finished_run(",
        STEPS,
    ),
    Mutation(
        "a run is worked on after its block was left",
        "_runtime/session.py",
        "        if self.closed is not None:\n",
        "        if False:\n",
        ("test_threads.py", *STEPS),
    ),
)
