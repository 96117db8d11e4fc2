"""
The words of the reporter: the sentences about a run, and how times, numbers and names are written in them.

Pure text: what stream they go to, and whether it is a terminal, is decided in `reporter`.  Nothing that comes from the
user may reach a terminal as a control character from here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from checkpoint._core.records import RunEvent, StepEvent

Colour: TypeAlias = Literal["green", "yellow", "red", "dim"]

# Second lines stand under the first word after this.
PREFIX = "checkpoint: "

# What a terminal shows between the sentence and the next prompt; without one there is a single line to put it in.
LONG_ADVICE = "Run the same command to continue, or look with: checkpoint show {workflow}"
SHORT_ADVICE = "Run again to continue."

# What stops a session without anything having gone wrong. Signals are recognised by their names.
_STOPS = frozenset({"Ctrl-C", "KeyboardInterrupt", "SystemExit", "CancelledError"})

_STEP_VERBS = {
    "started": "started",
    "completed": "completed in",
    "failed": "failed after",
    "interrupted": "interrupted after",
    "kept": "kept",
}

_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


class Sentence(NamedTuple):
    """
    What is said about a run, in the order in which it is read.

    Attributes:
        lead: The first words, which may be coloured.
        colour: Their colour, or None.
        rest: What follows them directly.
        kept: How much was kept, which may be dimmed; it ends the sentence.
        advice: What to do next: on a line of its own if there is a terminal, else after the sentence.
    """

    lead: str
    rest: str = ""
    colour: Colour | None = None
    kept: str = ""
    advice: str = ""


def printable(text: str) -> str:
    """Return `text` with everything that could move a cursor, colour or reorder a line written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    # Only for names that need it: its table is a tenth of what importing this package may cost.
    import unicodedata

    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) != 0 for char in text)


def shortened(text: str, room: int, ellipsis: str) -> str:
    """Return `text`, cut so that it takes at most `room` columns; its end is kept, where a call's last argument is."""
    if columns(text) <= room:
        return text
    ends = min(8, room // 3)
    tail = text[len(text) - ends :] if ends else ""
    head = text[: max(0, room - len(ellipsis))]
    while head and columns(head) + columns(ellipsis) + columns(tail) > room:
        head = head[:-1]
    return f"{head}{ellipsis}{tail}"


def duration(seconds: float) -> str:
    """Write a duration as in `1.0s`, `2m05s`, `3h07m` or `4d02h`."""
    tenths = max(0, round(seconds * 10))
    if tenths < 600:
        return f"{tenths // 10}.{tenths % 10}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def ago(seconds: float) -> str:
    """Write a distance to the past as in `12 s ago`; a clock that went back gives `0 s ago`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s ago"
    if whole < 3600:
        return f"{whole // 60} min ago"
    if whole < 86400:
        return f"{whole // 3600} h ago"
    return f"{whole // 86400} d ago"


def ordinal(number: int) -> str:
    """Write a position as in `1st`, `2nd`, `3rd`, `4th`, `11th`, `22nd`."""
    ending = "th" if number % 100 in (11, 12, 13) else _ENDINGS.get(number % 10, "th")
    return f"{number}{ending}"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _saved(event: RunEvent) -> str:
    saved = event.kept + event.ran
    return f"{_steps(saved)} {'is' if saved == 1 else 'are'} saved."


def _in_call(event: RunEvent) -> str:
    return "" if event.where is None else f" in {printable(event.where)}"


def _since(word: str, event: RunEvent) -> str:
    return word if event.ago is None else f"{word} {ago(event.ago)}"


def _is_stop(why: str) -> bool:
    return why in _STOPS or why.startswith("SIG")


def _new(event: RunEvent, terminal: bool) -> Sentence:
    if event.previous is None:
        return Sentence(f"new run {event.run}")
    return Sentence(f"new run {event.run}", f" (last run {event.previous} {_since('finished', event)})")


def _continuing(event: RunEvent, terminal: bool) -> Sentence:
    kept = f"{_steps(event.kept)} kept."
    lead = f"continuing run {event.run}"
    if event.why == "crashed":
        return Sentence(lead, f", {_since('crashed', event)}. ", kept=kept)
    # Without a terminal somebody reads this later, when "12 s ago" says nothing.
    if not terminal or (event.why is None and event.ago is None):
        return Sentence(lead, ". ", kept=kept)
    stopped = event.why is None or _is_stop(event.why)
    return Sentence(lead, f", {_since('stopped' if stopped else 'failed', event)}. ", kept=kept)


def _idle(event: RunEvent, terminal: bool) -> Sentence:
    key = "" if event.key is None else f" with key {printable(event.key)}"
    return Sentence("nothing to do", f", run {event.run}{key} {_since('finished', event)}")


def _note(event: RunEvent, terminal: bool) -> Sentence:
    lines = [printable(line.strip()) for line in (event.text or "").splitlines()]
    sentence = lines[0].removeprefix("note: ") if lines else ""
    return Sentence("note:", f" {sentence}", "yellow", advice=" ".join(lines[1:]))


def _stopping(event: RunEvent, terminal: bool) -> Sentence:
    after = "" if event.where is None else f" after {printable(event.where)}"
    return Sentence("stopping", f"{after}; {printable(event.why or 'Ctrl-C')} again to stop now", "yellow")


def _advice(event: RunEvent, terminal: bool) -> str:
    return LONG_ADVICE.format(workflow=printable(event.workflow)) if terminal else SHORT_ADVICE


def _stopped(event: RunEvent, terminal: bool) -> Sentence:
    lead = "stopped" if event.why is None else f"stopped by {printable(event.why)}"
    return Sentence(lead, f"{_in_call(event)}. {_saved(event)}", "yellow", advice=_advice(event, terminal))


def _failed(event: RunEvent, terminal: bool) -> Sentence:
    lead = "failed" if event.why is None else f"failed with {printable(event.why)}"
    return Sentence(lead, f"{_in_call(event)}. {_saved(event)}", "red", advice=_advice(event, terminal))


def _finished(event: RunEvent, terminal: bool) -> Sentence:
    return Sentence(f"done in {duration(event.seconds)}.", f" {event.ran} ran, ", kept=f"{event.kept} kept.")


_SENTENCES: dict[str, Callable[[RunEvent, bool], Sentence]] = {
    "new": _new,
    "continuing": _continuing,
    "idle": _idle,
    "note": _note,
    "stopping": _stopping,
    "stopped": _stopped,
    "failed": _failed,
    "finished": _finished,
}


def sentence(event: RunEvent, *, terminal: bool) -> Sentence:
    """Return what to say about `event`, to somebody at a terminal or to whoever reads a log later."""
    return _SENTENCES[event.kind](event, terminal)


def plain(event: RunEvent) -> str:
    """Return what to say about `event` as one line, complete in itself, without the prefix and the newline."""
    said = sentence(event, terminal=False)
    text = f"{printable(event.workflow)}: {said.lead}{said.rest}{said.kept}"
    return f"{text} {said.advice}" if said.advice else text


def step_line(event: StepEvent) -> str:
    """Return what to say about a call as one line, complete in itself, without the prefix and the newline."""
    line = f"{printable(event.workflow)}: {printable(event.call)} {_STEP_VERBS[event.kind]}"
    if event.kind not in ("started", "kept"):
        line += f" {duration(event.seconds)}"
    return f"{line}, {ordinal(event.attempt)} try" if event.attempt > 1 else line
