"""
Lines, sectors and bytes of a run's journal that are lost, zeroed, repeated, swapped, foreign or made up.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checkpoint._core.lines import SECTOR_BYTES, Chain, Mark
from checkpoint.errors import NewerFormatError
from tests.proof.damage.scene import JOURNAL, LOCK, PAYLOAD_CHARACTERS, Scene, program, world

# What a journal may end with that was never a record: all of it is an unfinished write, and is cut off.
TORN_TAILS = {
    "one zero": b"\0",
    "a sector of zeros": bytes(SECTOR_BYTES),
    "a page of zeros": bytes(4096),
    "half a record": b'{"key":"',
    "garbage": bytes(range(11, 256)),
}

# With a newline it is no unfinished write: somebody else wrote here.
FOREIGN_TAILS = {
    "an empty line": b"\n",
    "a zero and a newline": b"\0\n",
    "garbage lines": bytes(range(256)) * 3,
    "JSON of somebody else": b'{"a":1}\n',
}


def joined(lines: list[bytes], *changes: tuple[int, list[bytes]]) -> bytes:
    """Return the lines with some of them, given by number, replaced by any number of others."""
    replaced = dict(changes)
    return b"".join(part for number, line in enumerate(lines) for part in replaced.get(number, [line]))


def attempt_all(scene: Scene, journals: list[bytes]) -> set[str]:
    """Try every journal that is not the run's own; returns what came of them."""
    return {scene.attempt(JOURNAL, journal) for journal in journals if journal != scene.journal}


def test_missing_lines(scene: Scene, faults: Any) -> None:
    """A record that is gone is missed, wherever it was; the last was promised to nobody."""
    lines = scene.lines
    outcomes = [scene.attempt(JOURNAL, joined(lines, (number, []))) for number in range(len(lines))]

    assert ["refused"] * (len(lines) - 1) + ["harmless"] == outcomes
    faults.count("a line of a journal missing", len(lines), **scene.outcomes)


def test_lines_cut_in_two(scene: Scene, faults: Any) -> None:
    """Half a record is refused, with a newline or without, its first half or its second."""
    lines = scene.lines
    halves = [
        joined(lines, (number, [half]))
        for number, line in enumerate(lines)
        for middle in (1, len(line) // 2, len(line) - 2)
        for half in (line[:middle], line[:middle] + b"\n", line[middle:])
    ]
    outcomes = [scene.attempt(JOURNAL, half) for half in halves]

    harmless = [number for number, outcome in enumerate(outcomes) if outcome == "harmless"]
    unfinished = [len(halves) - 9 + position for position in (0, 3, 6)]
    assert unfinished == harmless, "only the last record without a newline is an unfinished write"
    faults.count("a line of a journal cut in two", len(halves), **scene.outcomes)


def test_zeroed_lines(scene: Scene, faults: Any) -> None:
    """A record of zeros is refused, with its newline or without."""
    lines = scene.lines
    zeroed = [
        joined(lines, (number, [zeros]))
        for number, line in enumerate(lines)
        for zeros in (bytes(len(line)), bytes(len(line) - 1) + b"\n")
    ]
    outcomes = [scene.attempt(JOURNAL, journal) for journal in zeroed]

    assert ["refused"] * (len(zeroed) - 2) == outcomes[:-2]
    assert "harmless" == outcomes[-2], "zeros at the end are what a power cut leaves of a write"
    faults.count("a line of a journal zeroed", len(zeroed), **scene.outcomes)


def test_zeroed_sectors(scene: Scene, faults: Any) -> None:
    """A sector of zeros in what was acknowledged is refused, wherever it begins."""
    last = scene.acknowledged - SECTOR_BYTES
    starts = [*range(0, last, 64), last]
    journals = [scene.journal[:start] + bytes(SECTOR_BYTES) + scene.journal[start + SECTOR_BYTES :] for start in starts]

    assert {"refused"} == attempt_all(scene, journals)
    faults.count("a sector of a journal zeroed", len(starts), **scene.outcomes)


def test_repeated_lines(scene: Scene, faults: Any) -> None:
    """A record that stands twice is refused, wherever the second one stands."""
    lines = scene.lines
    journals = [joined(lines, (place, [lines[place], line])) for line in lines for place in range(len(lines))]

    assert {"refused"} == attempt_all(scene, journals)
    faults.count("a line of a journal repeated", len(journals), **scene.outcomes)


def test_swapped_lines(scene: Scene, faults: Any) -> None:
    """Two records that changed places are refused."""
    lines = scene.lines
    pairs = [(first, second) for first in range(len(lines)) for second in range(first)]
    journals = [joined(lines, (first, [lines[second]]), (second, [lines[first]])) for first, second in pairs]

    assert {"refused"} == attempt_all(scene, journals)
    faults.count("two lines of a journal swapped", len(pairs), **scene.outcomes)


def test_zeroed_bytes(scene: Scene, faults: Any) -> None:
    """A zero in place of any acknowledged byte is refused."""
    journals = [scene.journal[:at] + b"\0" + scene.journal[at + 1 :] for at in range(scene.acknowledged)]

    assert {"refused"} == attempt_all(scene, journals)
    faults.count("a byte of a journal zeroed", len(journals), **scene.outcomes)


def test_missing_and_added_bytes(scene: Scene, faults: Any) -> None:
    """A byte that is missing or too many among what was acknowledged is refused."""
    places = range(0, scene.acknowledged - 1, 3)
    missing = [scene.journal[:at] + scene.journal[at + 1 :] for at in places]
    added = [scene.journal[:at] + b"7" + scene.journal[at:] for at in places]

    assert {"refused"} == attempt_all(scene, [*missing, *added])
    faults.count("a byte of a journal missing or added", scene.outcomes.total(), **scene.outcomes)


@pytest.mark.parametrize("equal", [True, False])
def test_foreign_lines(scene: Scene, faults: Any, equal: bool, tmp_path: Path) -> None:
    """A record of another run of the same workflow is refused, also one of the same call."""
    lines = scene.lines
    if equal:
        other = Scene(tmp_path / "other").lines
    else:
        chain, other = Chain(), []
        for number in range(len(lines)):
            line = chain.seal("f" * 32 + f".{number}", "completed", f'"call":"other()","value":{number}')
            chain.accept(line)
            other.append(line.data)
    count = len(lines)
    journals = [joined(lines, (number, [other[number]])) for number in range(1, count)]
    journals += [joined(lines, (number, [lines[number], line])) for number in range(count) for line in other]
    journals += [b"".join([*lines[:number], *other[number:]]) for number in range(1, count)]
    # The first record of another run is a good beginning, which none of ours can follow.
    first = scene.attempt(JOURNAL, joined(lines, (0, other[:1])), line=2 if equal else 1)

    assert {"refused"} == {first, *attempt_all(scene, journals)}
    faults.count("a line of another run in a journal", len(journals) + 1, **scene.outcomes)


@pytest.mark.parametrize("tail", TORN_TAILS)
def test_unfinished_tails(scene: Scene, faults: Any, tail: str) -> None:
    """What never became a record is cut off, and nothing before it is touched."""
    assert "harmless" == scene.attempt(JOURNAL, scene.journal + TORN_TAILS[tail])
    faults.count("a journal with a tail that is no record", 1, **scene.outcomes)


@pytest.mark.parametrize("tail", FOREIGN_TAILS)
def test_foreign_tails(scene: Scene, faults: Any, tail: str) -> None:
    """Whole lines that are no records are refused."""
    assert "refused" == scene.attempt(JOURNAL, scene.journal + FOREIGN_TAILS[tail])
    faults.count("a journal with a tail that is no record", 1, **scene.outcomes)


def test_garbage_in_place_of_the_journal(scene: Scene, faults: Any) -> None:
    """A journal that is none at all is refused, never begun anew."""
    size = len(scene.journal)
    garbage = [b"", b"\n", b"\0", bytes(size), b"\n" * size, b"{}\n", bytes(range(256)) * (size // 256), b"[" * size]
    garbage += [
        scene.journal[:-1].replace(b"\n", b" ") + b"\n",
        scene.journal.replace(b"\n", b"\r\n"),
        b" " + scene.journal,
    ]

    assert {"refused"} == attempt_all(scene, garbage)
    faults.count("garbage in place of a journal", len(garbage), **scene.outcomes)


def test_journal_of_a_newer_format(scene: Scene, faults: Any) -> None:
    """A whole journal of a later version is not read, and the error names the version."""
    chain = Chain()
    sealed = []
    for line in scene.lines:
        record = json.loads(line)
        if "format" in record:
            record["format"] = 2
        members = json.dumps(record, separators=(",", ":"))
        members = members[members.index(f'"n":{chain.count}') :].partition(",")[2].rpartition(',"sum"')[0]
        sealed.append(chain.seal(record["key"], record["kind"], members))
        chain.accept(sealed[-1])
    scene.write(LOCK, Mark(len(sealed), sealed[-1].sum).format())
    data = b"".join(line.data for line in sealed)

    scene.write(JOURNAL, data)
    found, executed = scene.rerun()

    assert isinstance(found, NewerFormatError), found
    assert (2, [], data) == (found.format, executed, (scene.folder / JOURNAL).read_bytes())
    faults.count("a journal of a newer format", 1, refused=1)


def test_payloads_missing_or_foreign(scene: Scene, faults: Any) -> None:
    """A payload that is missing, another one, or of the same size with other contents, is refused."""
    first, second = scene.payloads
    damages = [
        (first, None),
        (second, None),
        (first, scene.pristine[second]),
        (second, scene.pristine[first]),
        (first, b"x" * len(scene.pristine[first])),
        (first, bytes(len(scene.pristine[first]))),
        (first, b""),
        (first, scene.pristine[first] + b"\0"),
    ]
    for name, data in damages:
        assert "refused" == scene.attempt(name, data)
        scene.restore()
    faults.count("a payload missing or foreign", len(damages), **scene.outcomes)


def test_refusal_of_a_payload_claims_no_more_than_is_true(scene: Scene) -> None:
    """The session is open when a payload is missed, so that the error speaks of the step alone."""
    scene.write(scene.payloads[1], None)
    found, _ = scene.rerun()

    assert "Its step was not run again" in str(found)
    assert "Nothing was changed" not in str(found)


def test_payloads_that_nobody_refers_to(scene: Scene, faults: Any) -> None:
    """A file among the payloads that no record names is left alone."""
    name = "payloads/ff/" + "f" * 64
    assert "harmless" == scene.attempt(name, b"mine")
    assert PAYLOAD_CHARACTERS == len(program(scene.store)[0][0])
    faults.count("a payload that no record names", 1, **scene.outcomes)


def test_refused_run_continues_when_it_is_restored(scene: Scene) -> None:
    """After a refusal the good file is enough: nothing else was touched, and only the step cut short runs."""
    scene.write(JOURNAL, scene.journal[: scene.acknowledged // 2])
    scene.rerun()
    scene.write(JOURNAL, scene.journal)

    assert (scene.truth, ["last"]) == scene.rerun()
    assert ["last"] == world.executed
