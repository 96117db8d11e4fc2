"""
Every bit of a run's files is flipped, and every file is cut off at every length.

What was acknowledged is refused or handed out as it was: never another value, never a silent second execution.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.proof.damage.scene import JOURNAL, LOCK, SUMMARY, Scene

# Payloads are checked by one checksum, whatever the bit: a prime number meets every position of a byte.
PAYLOAD_STRIDE = 131

# Without the mark only the end of the journal is judged differently; every byte still has a bit flipped.
NO_MARK_STRIDE = 3

# Cuts of a payload are found by its size, whatever the size.
CUT_STRIDE = 31

# The summary is never read for recovery: every cut of it and one bit of every byte are enough.
SUMMARY_STRIDE = 9


def flipped(data: bytes, bit: int) -> bytes:
    """Return `data` with one bit flipped."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.slow
def test_every_flipped_bit_of_the_journal(scene: Scene, faults: Any) -> None:
    """A flipped bit is refused with its line; only the newline of a record that nobody was promised is mended."""
    bits = len(scene.journal) * 8
    harmless = [bit for bit in range(bits) if scene.attempt(JOURNAL, flipped(scene.journal, bit)) == "harmless"]

    assert list(range(bits - 8, bits)) == harmless
    faults.count("one bit of a journal flipped", bits, **scene.outcomes)


@pytest.mark.slow
def test_every_flipped_bit_without_the_mark(scene: Scene, faults: Any) -> None:
    """Also when the mark is gone, a flipped bit is refused with its line."""
    del scene.pristine[LOCK]
    size = len(scene.journal) * 8
    bits = [*range(0, size - 8, NO_MARK_STRIDE), *range(size - 8, size)]
    harmless = []
    for bit in bits:
        scene.write(LOCK, None)
        if scene.attempt(JOURNAL, flipped(scene.journal, bit)) == "harmless":
            harmless.append(bit)

    assert bits[-8:] == harmless
    faults.count("one bit of a journal flipped and its mark lost", len(bits), **scene.outcomes)


def test_every_truncation_of_the_journal(scene: Scene, faults: Any) -> None:
    """A cut of what was acknowledged is refused with its line; the record of the step that was cut short is no loss."""
    sizes = range(len(scene.journal))
    harmless = [size for size in sizes if scene.attempt(JOURNAL, scene.journal[:size]) == "harmless"]

    assert list(range(scene.acknowledged, len(scene.journal))) == harmless
    faults.count("a journal cut off", len(sizes), **scene.outcomes)


def test_every_flipped_bit_of_the_mark(scene: Scene, faults: Any) -> None:
    """A damaged mark is ignored or refuses the run; it never drops what was saved."""
    bits = len(scene.pristine[LOCK]) * 8
    for bit in range(bits):
        scene.attempt(LOCK, flipped(scene.pristine[LOCK], bit))

    assert scene.outcomes["refused"] > bits / 4
    faults.count("one bit of a mark flipped", bits, **scene.outcomes)


def test_every_truncation_of_the_mark(scene: Scene, faults: Any) -> None:
    """A mark that is cut off is no mark, and the run is continued."""
    sizes = len(scene.pristine[LOCK])
    outcomes = {scene.attempt(LOCK, scene.pristine[LOCK][:size]) for size in range(sizes)}

    assert {"harmless"} == outcomes
    faults.count("a mark cut off", sizes, **scene.outcomes)


def test_flipped_bits_of_the_summary(scene: Scene, faults: Any) -> None:
    """The summary is derived: whatever it says, the run is continued."""
    bits = range(0, len(scene.pristine[SUMMARY]) * 8, SUMMARY_STRIDE)
    outcomes = {scene.attempt(SUMMARY, flipped(scene.pristine[SUMMARY], bit)) for bit in bits}

    assert {"harmless"} == outcomes
    faults.count("one bit of a summary flipped", len(bits), **scene.outcomes)


def test_every_truncation_of_the_summary(scene: Scene, faults: Any) -> None:
    """A summary that is cut off is made again."""
    sizes = len(scene.pristine[SUMMARY])
    outcomes = {scene.attempt(SUMMARY, scene.pristine[SUMMARY][:size]) for size in range(sizes)}

    assert {"harmless"} == outcomes
    faults.count("a summary cut off", sizes, **scene.outcomes)


def test_flipped_bits_of_a_payload(scene: Scene, faults: Any) -> None:
    """A payload that is not what was saved is refused, naming its file."""
    name = scene.payloads[0]
    bits = range(0, len(scene.pristine[name]) * 8, PAYLOAD_STRIDE)
    outcomes = {damage_payload(scene, name, flipped(scene.pristine[name], bit)) for bit in bits}

    assert {"refused"} == outcomes
    faults.count("one bit of a payload flipped", len(bits), **scene.outcomes)


def test_truncations_of_a_payload(scene: Scene, faults: Any) -> None:
    """A payload that is cut off is refused, naming its file."""
    name = scene.payloads[0]
    sizes = {*range(0, len(scene.pristine[name]), CUT_STRIDE), len(scene.pristine[name]) - 1}
    outcomes = {damage_payload(scene, name, scene.pristine[name][:size]) for size in sizes}

    assert {"refused"} == outcomes
    faults.count("a payload cut off", len(sizes), **scene.outcomes)


def damage_payload(scene: Scene, name: str, data: bytes) -> str:
    """Damage a payload; the run is opened before its value is asked for, so that its journal grows."""
    outcome = scene.attempt(name, data)
    scene.write(JOURNAL, scene.journal)
    scene.write(LOCK, scene.pristine[LOCK])
    return outcome
