"""
The two ways in which a value and its tree can disagree; both are internal and are never shown to a user as they are.

The caller turns them into an error of `checkpoint.errors` that knows the call or the state they are about.
"""

from __future__ import annotations

# Deeper values go to pickle, which is written in C: two Python frames per level must fit the user's stack.
MAX_DEPTH = 100


class NotTree(Exception):
    """
    A value has no tree that brings it back exactly: the caller pickles it or refuses it.

    Attributes:
        path: Where the culprit sits inside the value, as in `result['conn']`.
        culprit: The part of the value that has no tree.
        why: What is the matter with it, to be read after its path: `is a _thread.lock`.
    """

    def __init__(self, culprit: object, why: str, path: str = "") -> None:
        super().__init__(why)
        self.path = path
        self.culprit = culprit
        self.why = why

    def under(self, step: str) -> None:
        """Put `step`, such as `[3]` or `.name`, before the path; called while the walk is left upwards."""
        self.path = step + self.path


class BadTree(Exception):
    """
    A tree is malformed, or does not fit this program.

    Attributes:
        reason: What is wrong, as a clause without a full stop.
        path: Where in the tree.
        module: The module that would have to be imported first, if that is all that is missing, or None.
    """

    def __init__(self, reason: str, *, module: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""
        self.module = module

    def under(self, step: str) -> None:
        """Put `step`, such as `[3]` or `.name`, before the path; called while the walk is left upwards."""
        self.path = step + self.path


def describe(value: object) -> str:
    """Return what a person calls a value of this type, with its article: `a _thread.lock`, `an int`."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
