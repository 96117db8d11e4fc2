"""
What a user is told when a value cannot identify a call: what it is, where it sits, and the ways out.
"""

from __future__ import annotations

from pathlib import PurePath

from checkpoint._core.fingerprint_builtin import own_attributes
from checkpoint._core.fingerprint_culprit import find_culprit
from checkpoint._core.fingerprint_table import TOO_DEEP, Family, NoLastingValue
from checkpoint.errors import FingerprintError

# What to do about each kind but the first, which needs more words.
_CURES: dict[Family, str] = {
    "function-without-name": "; another process cannot know it by name.\n"
    "  Move it to module level, or @checkpointed(ignore=[{argument!r}]).",
    "one-pass-value": "; reading it here would leave nothing for the step.\n"
    "  Pass a list, or what the {kind} is made from.",
    "not-awaited": "; its value is not known yet.\n  Await it, and pass the result.",
    "open-file": "; what it will give depends on where it was read to.\n"
    "  Pass its path or its contents, or @checkpointed(ignore=[{argument!r}]).",
    "live-view": ".\n  Pass a copy of what the step needs, such as a dict or a list.",
    "mock": "; it has any attribute and no value.\n"
    "  Pass a small class of your own with the data in it, or @checkpointed(ignore=[{argument!r}]).",
    "nested-too-deeply": ".\n  Pass a flatter value, or @checkpointed(ignore=[{argument!r}]).",
}


def explain(problem: NoLastingValue | RecursionError, *, step: str, argument: str, value: object) -> FingerprintError:
    """
    Return the error for an argument that was refused.

    Args:
        problem: What fingerprinting it raised.
        step: Name of the step.
        argument: Name of the parameter.
        value: The argument.
    """
    if isinstance(problem, NoLastingValue):
        culprit, why, family = problem.culprit, problem.why, problem.family
    else:
        culprit, why, family = value, TOO_DEEP, "nested-too-deeply"
    path = find_culprit(value, argument)
    if family == "no-lasting-value":
        text = _no_lasting_value(argument, path, why, value)
    else:
        place = f"argument {argument!r}" if path == argument else f"argument {argument!r}: {path}"
        kind = why.split()[-1]
        text = f"{place} {why}{_CURES[family].format(argument=argument, kind=kind)}"
    return FingerprintError(
        f"step {step!r}: {text}", slug=family, step=step, argument=argument, path=path, culprit=culprit
    )


def _no_lasting_value(argument: str, path: str, why: str, value: object) -> str:
    lines = [
        f"argument {argument!r} has no lasting value, so a rerun could not recognise this call.",
        f"  {path} {why}",
        f'  Leave it out of the identity:  @checkpointed(ignore=["{argument}"])',
    ]
    cls = type(value)
    if path != argument and "__module__" in cls.__dict__ and "__checkpoint_key__" not in cls.__dict__:
        method = f"def __checkpoint_key__(self): return {_telling_attribute(value)}"
        lines.append(f"  or say what identifies it:     {method}   (in class {cls.__name__})")
    return "\n".join(lines)


def _telling_attribute(value: object) -> str:
    # An attribute that a person would choose; only ever an example.
    attributes = own_attributes(value)
    plain = [name for name, item in attributes.items() if isinstance(item, (str, int, PurePath))]
    return f"self.{plain[0]}" if plain else "..."
