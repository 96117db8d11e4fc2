"""
The one place that reads the clock and draws random numbers; nothing depends on wall time but what people read.
"""

from __future__ import annotations

import time
from time import perf_counter as seconds

__all__ = ["age_s", "now", "seconds"]

_formatted = (-1, "")


def now() -> str:
    """Return the time in UTC as ISO 8601 with milliseconds: `2026-11-22T10:31:07.123Z`."""
    global _formatted
    instant = time.time()
    whole = int(instant)
    second, prefix = _formatted  # one name, so that threads never see the text of another second
    if whole != second:
        # Formatting costs more than all the rest of a record; a second has room for many records.
        prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(whole))
        _formatted = (whole, prefix)
    return f"{prefix}{int((instant - whole) * 1000):03d}Z"


def age_s(at: str) -> float | None:
    """Return how many seconds ago `at` was, or None if it is unreadable or in the future."""
    from datetime import UTC, datetime

    try:
        then = datetime.fromisoformat(at)
        age = (datetime.now(UTC) - then).total_seconds()
    except (TypeError, ValueError):
        return None
    return age if age >= 0 else None
