"""
Damage as functions of bytes: what each kind does, where it strikes, and which places are refused.
"""

from __future__ import annotations

import pytest

from checkpoint._core.lines import Chain, Mark, inspect
from checkpoint.errors import UsageError
from checkpoint.testing._damage import FOR_JOURNALS, KINDS, append, damage, flip, positions, zero

LINES = b"one\ntwo\nthree\n"


def journal(records: int = 4) -> bytes:
    """Return a sealed journal of so many records."""
    chain, data = Chain(), b""
    for number in range(records):
        line = chain.seal("run", "saved", f'"text":"{number}"')
        chain.accept(line)
        data += line.data
    return data


@pytest.mark.parametrize(
    ("kind", "at", "expected"),
    [
        ("flip", 0, b"nne\ntwo\nthree\n"),
        ("flip", -1, b"one\ntwo\nthree\x0b"),
        ("cut", 0, b""),
        ("cut", 5, b"one\nt"),
        ("cut", -1, b"one\ntwo\nthree"),
        ("zero", 3, bytes(14)),
        ("drop", 1, b"two\nthree\n"),
        ("drop", -1, b"one\ntwo\n"),
        ("double", 2, b"one\ntwo\ntwo\nthree\n"),
        ("double", -1, b"one\ntwo\nthree\nthree\n"),
        ("swap", 1, b"two\none\nthree\n"),
        ("swap", -1, b"one\nthree\ntwo\n"),
        ("append", None, b"one\ntwo\nthree\nthr"),
        ("older", 1, b"one\ntwo\n"),
        ("older", 3, b""),
    ],
)
def test_change(kind: str, at: int | None, expected: bytes) -> None:
    """Each kind does to the bytes what its name says."""
    assert expected == damage(kind, LINES, at).data


def test_remove() -> None:
    """A removed file has no contents, not even empty ones."""
    assert damage("remove", LINES).data is None


def test_flip_of_another_bit() -> None:
    """Every bit of a byte can be turned over."""
    assert [b"\x01", b"\x02", b"\x80"] == [flip(b"\x00", 0, bit) for bit in (0, 1, 7)]


@pytest.mark.parametrize(("at", "gone"), [(0, (0, 512)), (511, (0, 512)), (512, (512, 1024)), (1030, (1024, 1050))])
def test_zero_is_a_sector_of_the_disk(at: int, gone: tuple[int, int]) -> None:
    """Zeros take the place of the aligned sector around the byte, and the length stays."""
    data = b"x" * 1050
    start, stop = gone

    assert data[:start] + bytes(stop - start) + data[stop:] == zero(data, at)


def test_append_to_nothing() -> None:
    """An empty journal gets half a record too."""
    assert append(b"") and b"\n" not in append(b"")


@pytest.mark.parametrize("kind", ["drop", "double", "swap", "older"])
def test_unfinished_line_is_no_line(kind: str) -> None:
    """What a crash has left at the end is not counted as a line."""
    assert positions(kind, LINES) == positions(kind, LINES + b"half")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("flip", range(14)),
        ("cut", range(14)),
        ("zero", range(0, 14, 512)),
        ("remove", range(0)),
        ("drop", range(1, 4)),
        ("double", range(1, 4)),
        ("swap", range(1, 3)),
        ("append", range(0)),
        ("older", range(1, 4)),
    ],
)
def test_positions(kind: str, expected: range) -> None:
    """Every place where a kind can strike is listed, once for each outcome."""
    assert list(expected) == list(positions(kind, LINES))


def test_positions_are_known_for_every_kind() -> None:
    """No kind was added without saying where it strikes, and every one of its places can be struck."""
    data = journal(20)
    outcomes = {name: [damage(name, data, at).data for at in positions(name, data)] for name in KINDS}

    assert {"remove", "append"} == {name for name, found in outcomes.items() if not found}
    assert all(len(set(found)) == len(found) for found in outcomes.values())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("flip", "flipped the lowest bit of byte 7"),
        ("cut", "cut off everything from byte 7"),
        ("zero", "put zeros into the disk's sector of byte 7"),
        ("remove", "removed the file"),
        ("drop", "dropped line 2"),
        ("double", "doubled line 2"),
        ("swap", "swapped lines 2 and 3"),
        ("append", "appended 3 bytes of an unfinished line"),
        ("older", "put back the journal of 1 record(s) ago"),
    ],
)
def test_default_place(kind: str, said: str) -> None:
    """Without a place the middle is struck, or the last record taken back; the report names it."""
    assert said == damage(kind, LINES).said


@pytest.mark.parametrize(
    ("kind", "at", "message"),
    [
        ("burn", None, "There is no damage 'burn'. Kinds: flip, cut, zero, remove, drop, double, swap, append, older."),
        ("flip", 14, "has bytes 0 to 13 for it. Give one of these, or -1 to -14 from the end."),
        ("flip", -15, "cannot strike at -15"),
        ("drop", 0, "has lines 1 to 3 for it"),
        ("swap", 3, "has lines 1 to 2 for it"),
        ("older", -1, "has records 1 to 3 for it. Give one of these."),
        ("older", 0, "cannot strike at 0"),
        ("append", 3, "has no place, and at=3 was given"),
        ("remove", 0, "has no place"),
        ("flip", "7", "at='7' is no place"),
        ("flip", True, "at=True is no place"),
    ],
)
def test_nonsense(kind: str, at: int | None, message: str) -> None:
    """What cannot be done is refused, and the message says what can."""
    with pytest.raises(UsageError) as refused:
        damage(kind, LINES, at)
    assert message in str(refused.value)


@pytest.mark.parametrize(("kind", "data"), [("flip", b""), ("cut", b""), ("drop", b""), ("swap", b"one\n")])
def test_nothing_to_damage(kind: str, data: bytes) -> None:
    """A file that is too short for a kind of damage is refused."""
    with pytest.raises(UsageError, match="needs a file of at least"):
        damage(kind, data)


def test_damage_that_changes_nothing() -> None:
    """Zeros over zeros are refused: a test that expects a refusal would blame the library."""
    with pytest.raises(UsageError, match="changes nothing"):
        damage("zero", bytes(600))


@pytest.mark.parametrize("kind", sorted(FOR_JOURNALS - {"append"}))
def test_damaged_lines_are_found(kind: str) -> None:
    """Damage by whole lines, wherever it strikes, is found by the journal's own check."""
    data = journal()
    mark = Mark(4, inspect(data, None).sum)
    verdicts = {inspect(damage(kind, data, at).data or b"", mark).kind for at in positions(kind, data)}

    assert verdicts and verdicts <= {"damaged", "missing"}


def test_appended_half_is_what_a_crash_leaves() -> None:
    """An appended half line is an unfinished write, which may be cut off."""
    data = journal()

    assert "torn" == inspect(damage("append", data).data or b"", Mark(4, inspect(data, None).sum)).kind
