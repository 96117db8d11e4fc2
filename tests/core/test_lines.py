"""
The line format: what is sealed can be recomputed by hand, and nothing that was changed is ever taken for whole.
"""

from __future__ import annotations

import hashlib
import json

import pytest

from checkpoint._core import lines
from checkpoint._core.lines import Chain, Mark, Verdict, inspect, key_and_kind, split
from checkpoint._core.records import FORMAT, Line
from checkpoint.errors import SaveError

FIRST = f'"format":{FORMAT},"workflow":"align","nonce":"00f1"'


def sealed(count: int, *, nonce: str = "00f1", width: int = 40) -> list[Line]:
    """Return the lines of a small journal."""
    chain = Chain()
    found: list[Line] = []
    for number in range(count):
        members = FIRST.replace("00f1", nonce) if not number else f'"value":"{"x" * width}{number}"'
        line = chain.seal(f"key{number}" if number else "run", "completed" if number else "created", members)
        chain.accept(line)
        found.append(line)
    return found


def journal(count: int, *, nonce: str = "00f1", width: int = 40) -> bytes:
    """Return the bytes of a small journal."""
    return b"".join(line.data for line in sealed(count, nonce=nonce, width=width))


def mark_of(found: list[Line], count: int) -> Mark:
    """Return the mark after `count` lines."""
    return Mark(count, found[count - 1].sum)


def test_line_is_json_with_key_first_and_sum_last() -> None:
    """A line is one JSON object: key, kind and number first, then the members, the checksum last."""
    line = sealed(2)[1]
    assert ["key", "kind", "n", "value", "sum"] == list(json.loads(line.data))


def test_members_may_be_empty() -> None:
    """A record that says nothing further is a JSON object too."""
    line = Chain().seal("run", "finished", "")
    assert {"key": "run", "kind": "finished", "n": 0, "sum": line.sum} == json.loads(line.data)


def test_sum_can_be_recomputed_by_hand() -> None:
    """The checksum is the beginning of the SHA-256 of all bytes before it."""
    data = journal(4)
    before, _, after = data.rpartition(b',"sum":"')
    assert hashlib.sha256(before).hexdigest()[:16].encode() + b'"}\n' == after


def test_seal_does_not_advance() -> None:
    """A line whose write failed can be sealed again with the same number."""
    chain = Chain()
    assert chain.seal("run", "created", FIRST) == chain.seal("run", "created", FIRST)


def test_accept_refuses_a_line_out_of_order() -> None:
    """Accepting a line twice is an error."""
    chain = Chain()
    line = chain.seal("run", "created", FIRST)
    chain.accept(line)
    with pytest.raises(ValueError, match="not the next line"):
        chain.accept(line)


def test_accept_takes_an_equal_line_that_was_sealed_before_another() -> None:
    """Which of several sealed lines is written is the caller's choice."""
    chain, other = Chain(), Chain()
    line = chain.seal("run", "created", FIRST)
    chain.seal("run", "created", '"format":1')
    chain.accept(line)
    other.accept(other.seal("run", "created", FIRST))
    assert other.seal("a", "started", "") == chain.seal("a", "started", "")


def test_resume_continues_the_chain() -> None:
    """A chain resumed from a journal seals the line that would have come next."""
    assert sealed(5)[4] == Chain.resume(journal(4)).seal("key4", "completed", f'"value":"{"x" * 40}4"')


@pytest.mark.parametrize(
    ("key", "members"),
    [('a"b', ""), ("a\\b", ""), ("a\nb", ""), ("a", '"value":\n1'), ("schlüssel", "")],
    ids=["quote", "backslash", "newline", "newline in members", "not ASCII"],
)
def test_parts_that_make_no_line_are_refused(key: str, members: str) -> None:
    """What would break the format is never sealed."""
    with pytest.raises(ValueError):
        Chain().seal(key, "started", members)


def test_too_large_a_record_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader would refuse is not written."""
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    with pytest.raises(SaveError) as caught:
        Chain().seal("run", "saved", f'"state":"{"x" * 1000}"')
    assert "record-too-large" == caught.value.slug


def test_largest_record_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be written may be read."""
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    chain = Chain()
    line = chain.seal("run", "saved", f'"state":"{"x" * (1000 - 27 - 44)}"')
    assert (1000, "whole") == (len(line.data), inspect(line.data, None).kind)


def test_too_long_a_line_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line longer than the limit is refused although its checksum is right."""
    data = journal(4, width=200)
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 200)
    assert ("damaged", 2) == (inspect(data, None).kind, inspect(data, None).line)


def test_split_leaves_out_newlines_and_an_unfinished_end() -> None:
    """Splitting gives the whole lines only."""
    assert [b"a", b"b"] == split(b"a\nb\nc")


def test_split_of_nothing() -> None:
    """An empty journal has no lines."""
    assert [] == split(b"")


def test_key_and_kind_are_found_without_parsing() -> None:
    """Key and kind are cut out of the line."""
    assert ("key1", "completed") == key_and_kind(sealed(2)[1].data)


def test_key_and_kind_of_no_line() -> None:
    """What is no line of a journal is an error."""
    with pytest.raises(ValueError):
        key_and_kind(b'{"a":1}')


def test_mark_is_28_bytes() -> None:
    """A mark is a ten-digit count and a checksum on a line of its own."""
    assert b"0000000021 0123456789abcdef\n" == Mark(21, "0123456789abcdef").format()


@pytest.mark.parametrize("boot", [None, "6e7b0d2c-6f0e-4d3c-9c55-0c8f9a1b2c3d"])
def test_mark_is_read_as_it_was_written(boot: str | None) -> None:
    """A mark survives formatting and parsing, with its boot."""
    mark = Mark(21, "0123456789abcdef", boot)
    assert mark == Mark.parse(mark.format())


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 28, b"claim 0123456789abcdef\n", b"0000000000 0123456789abcdef\n", b"0000000021 0123456789abcdef"],
)
def test_unreadable_mark_is_none(data: bytes) -> None:
    """A mark is derived: one that cannot be read is no mark."""
    assert Mark.parse(data) is None


def test_empty_journal_is_whole() -> None:
    """A journal without a line is one that was never begun."""
    assert Verdict("whole", 0, 0) == inspect(b"", None)


@pytest.mark.parametrize("marked", [0, 1, 3, 5])
def test_good_journal_is_whole(marked: int) -> None:
    """A good journal is whole, however far the mark lags behind."""
    found = sealed(5)
    data = journal(5)
    assert Verdict("whole", 5, len(data), found[4].sum) == inspect(data, mark_of(found, marked) if marked else None)


def test_no_flipped_bit_is_accepted_where_all_was_acknowledged() -> None:
    """Every single flipped bit of an acknowledged journal is refused."""
    found, data = sealed(6), journal(6)
    mark = mark_of(found, 6)
    kinds = {kind_of_flip(data, bit, mark) for bit in range(len(data) * 8)}
    assert kinds <= {"damaged", "missing", "newer"}


def test_flipped_bits_drop_only_what_was_not_acknowledged() -> None:
    """Without an acknowledgement of the last line, only the loss of its newline is taken for an unfinished write."""
    found, data = sealed(6), journal(6)
    torn = {bit // 8 for bit in range(len(data) * 8) if kind_of_flip(data, bit, mark_of(found, 5)) not in REFUSALS}
    assert {len(data) - 1} == torn


REFUSALS = ("damaged", "missing", "newer")


def kind_of_flip(data: bytes, bit: int, mark: Mark) -> str:
    """Return the verdict on `data` with one bit flipped."""
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return inspect(bytes(flipped), mark).kind


def test_no_truncation_is_accepted_where_all_was_acknowledged() -> None:
    """An acknowledged journal that was cut anywhere is refused."""
    found, data = sealed(6), journal(6)
    kinds = {inspect(data[:size], mark_of(found, 6)).kind for size in range(len(data))}
    assert {"missing"} == kinds


def test_truncation_drops_only_what_was_not_acknowledged() -> None:
    """A cut within the line that was not acknowledged leaves the others; any other cut is refused."""
    found, data = sealed(6), journal(6)
    mark, kept = mark_of(found, 5), len(data) - len(found[5].data)
    verdicts = [inspect(data[:size], mark) for size in range(len(data))]
    assert ["missing"] * kept + ["whole"] + ["torn"] * (len(found[5].data) - 1) == [found.kind for found in verdicts]
    assert {(5, kept)} == {(verdict.count, verdict.size) for verdict in verdicts[kept:]}


def test_unfinished_last_line_is_torn() -> None:
    """What a crash left of a line can be cut off, and the verdict says where."""
    found, data = sealed(3), journal(3)
    size = len(data) - len(found[2].data)
    assert Verdict("torn", 2, size, found[1].sum, 3, "it is incomplete") == inspect(data[:-20], None)


def test_unfinished_last_line_that_was_acknowledged_is_missing() -> None:
    """The mark tells an unfinished write from an acknowledged line that was cut."""
    found, data = sealed(3), journal(3)
    assert "missing" == inspect(data[:-20], mark_of(found, 3)).kind


def test_trailing_zeros_are_torn() -> None:
    """A file system that lengthened the file before it wrote leaves zeros."""
    found, data = sealed(3), journal(3)
    verdict = inspect(data + b"\0" * 700, mark_of(found, 3))
    assert ("torn", 3, len(data)) == (verdict.kind, verdict.count, verdict.size)


@pytest.mark.parametrize(("marked", "kind"), [(0, "torn"), (2, "torn"), (3, "damaged")])
def test_zero_sector_in_the_last_line(marked: int, kind: str) -> None:
    """A sector of zeros in the last line is an unfinished write, unless the line was acknowledged."""
    found, data = sealed(3, width=3000), bytearray(journal(3, width=3000))
    data[4096 : 4096 + 512] = bytes(512)
    assert kind == inspect(bytes(data), mark_of(found, marked) if marked else None).kind


def test_zeros_that_are_no_sector_are_damage() -> None:
    """Zeros that no disk leaves are damage."""
    data = bytearray(journal(3, width=3000))
    data[4000 : 4000 + 512] = bytes(512)
    assert "damaged" == inspect(bytes(data), None).kind


def test_zero_sector_before_good_lines_is_damage() -> None:
    """A sector of zeros with good lines after it was not left by an unfinished write."""
    data = bytearray(journal(5, width=3000))
    data[4096 : 4096 + 512] = bytes(512)
    verdict = inspect(bytes(data), None)
    assert ("damaged", 3) == (verdict.kind, verdict.line)


def test_complete_last_line_with_a_wrong_sum_is_damage() -> None:
    """A complete line that does not verify was not left by an unfinished write."""
    data = bytearray(journal(3))
    data[-40] ^= 1
    verdict = inspect(bytes(data), None)
    assert ("damaged", 3, "its checksum is wrong") == (verdict.kind, verdict.line, verdict.reason)


def test_first_bad_line_is_located() -> None:
    """The verdict names the line, its first byte and what verifies before it."""
    found, data = sealed(6), bytearray(journal(6))
    start = sum(len(line.data) for line in found[:3])
    data[start + 45] ^= 1
    verdict = inspect(bytes(data), mark_of(found, 6))
    assert ("damaged", 3, start, 4, found[2].sum) == (
        verdict.kind,
        verdict.count,
        verdict.size,
        verdict.line,
        verdict.sum,
    )


def rearranged(order: list[int]) -> bytes:
    """Return a journal of six lines in another order."""
    found = sealed(6)
    return b"".join(found[number].data for number in order)


@pytest.mark.parametrize(
    ("order", "line"),
    [([0, 1, 3, 4, 5], 3), ([0, 1, 2, 2, 3, 4, 5], 4), ([0, 2, 1, 3, 4, 5], 2), ([1, 2, 3, 4, 5], 1)],
    ids=["removed", "duplicated", "swapped", "first removed"],
)
def test_rearranged_lines_are_damage(order: list[int], line: int) -> None:
    """A missing, repeated or swapped line is found, and where."""
    verdict = inspect(rearranged(order), None)
    assert ("damaged", line) == (verdict.kind, verdict.line)
    assert "should be" in verdict.reason


def test_foreign_line_is_damage() -> None:
    """A line of another journal in the same place does not verify."""
    own, foreign = sealed(6), sealed(6, nonce="00f2")
    data = b"".join(line.data for line in (*own[:3], foreign[3], *own[4:]))
    verdict = inspect(data, None)
    assert ("damaged", 4, "its checksum is wrong") == (verdict.kind, verdict.line, verdict.reason)


def test_older_copy_is_missing_what_was_saved() -> None:
    """A journal that is good but shorter than what was acknowledged is refused, and the message says so."""
    found = sealed(30)
    data = b"".join(line.data for line in found[:21])
    expected = "it ends at record 21, but 30 had been saved; was the file restored from an older copy?"
    assert ("missing", expected) == (inspect(data, mark_of(found, 30)).kind, inspect(data, mark_of(found, 30)).reason)


@pytest.mark.parametrize("marked", [3, 6])
def test_journal_of_another_run_does_not_fit_the_mark(marked: int) -> None:
    """A good journal of another run is refused, because the mark names another line."""
    mark = mark_of(sealed(6), marked)
    verdict = inspect(journal(6, nonce="00f2"), mark)
    assert ("damaged", marked) == (verdict.kind, verdict.line)


def test_newer_format_is_told_from_damage() -> None:
    """A journal of a newer version is not called damaged, whatever its lines look like."""
    data = journal(3).replace(b'"format":%d' % FORMAT, b'"format":%d' % (FORMAT + 1)) + b"something new\n"
    assert ("newer", FORMAT + 1) == (inspect(data, None).kind, inspect(data, None).version)


def test_text_that_is_no_journal_is_damage() -> None:
    """A file of something else is refused."""
    assert ("damaged", 1) == (inspect(b"hello\nworld\n", None).kind, inspect(b"hello\nworld\n", None).line)
