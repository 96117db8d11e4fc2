"""
From a step's arguments to what identifies the call, by way of the parameters' names.

The hottest path of the library: `bind` and `fingerprint` run on every call, kept or not.  Nothing here may
depend on how a call was written: position or keyword, default given or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from inspect import Parameter
from typing import Any

from checkpoint._core import display
from checkpoint._core.binding_signature import (
    NO_DEFAULT,
    default_of,
    find_names_wanted,
    generate_binder,
    is_constant,
    signature_of,
)
from checkpoint._core.fingerprint import canonical, digest
from checkpoint._core.fingerprint_errors import explain
from checkpoint._core.fingerprint_table import ENCODERS, NoLastingValue, unknown
from checkpoint.errors import FingerprintError, UsageError

# Beyond this length a hash stands for an argument's text, so that what is kept of a call stays small.
_LONGEST_TEXT = 1024

# Stands for a default that may have changed since; no argument is this object.
_CHANGEABLE = object()

# Begins the identity that a `key=` function chose; no parameter's name does.
_CHOSEN = "="


class Fingerprint:
    """
    What identifies a call by its arguments.

    Attributes:
        text: The identity: the texts, separated by commas.
        texts: `name=text` of every parameter that counts and is not at its default, by name, sorted.
    """

    __slots__ = ("_binder", "text", "texts")

    def __init__(self, binder: Binder, texts: dict[str, str]) -> None:
        self._binder = binder
        self.texts = texts
        self.text = ",".join(texts.values())

    @property
    def digests(self) -> dict[str, str]:
        """Eight hexadecimal digits per parameter that counts, defaults included, by name."""
        texts, binder = self.texts, self._binder
        return {
            name: digest(texts[name])[:8] if name in texts else binder.default_digest(name) for name in binder.counted
        }


class Binder:
    """
    Binds and fingerprints the arguments of one step; made once, when the function is decorated.

    Attributes:
        step: Name of the step, for messages.
        parameters: Names of all parameters, in the order of the signature and of bound values.
        counted: Names of the parameters that count for the identity, sorted.
        bind: Takes a call's arguments, the instance of a method first, and returns the values of all parameters
            in order: `*args` as a tuple, `**kwargs` as a dict.  Raises the interpreter's own TypeError for
            arguments that the function does not take.
    """

    __slots__ = (
        "_default_texts",
        "_defaults",
        "_key_names",
        "_kinds",
        "_plan",
        "_shown",
        "bind",
        "counted",
        "parameters",
        "step",
    )

    def __init__(self, function: Callable[..., Any], *, step: str, ignore: Collection[str] = ()) -> None:
        """
        Read the signature and generate the binder.

        Args:
            function: The user's function.
            step: Name of the step, for messages.
            ignore: Names of parameters that do not identify the call.

        Raises:
            UsageError: `ignore` names no parameter of the function.
        """
        function = getattr(function, "__func__", function)
        signature = signature_of(function)
        members = list(signature.parameters.values())
        self.step = step
        self.parameters = tuple(member.name for member in members)
        ignored = _check_ignore(ignore, self.parameters, step)
        self.bind: Callable[..., tuple[Any, ...]] = generate_binder(function, signature)
        self._defaults = {member.name: default_of(member) for member in members}
        self._default_texts: dict[str, str | None] = {}
        self._kinds = tuple(member.kind for member in members)
        self._key_names: tuple[Callable[..., object], list[str] | None] | None = None
        places = {name: place for place, name in enumerate(self.parameters)}
        self.counted = tuple(sorted(name for name in self.parameters if name not in ignored))
        constant = {name: self._keep_default(name) for name in self.counted}
        self._plan = tuple((places[name], name, f"{name}=", constant[name]) for name in self.counted)
        self._shown = display.CallDisplay(function, members, hidden=ignored)

    def fingerprint(self, values: tuple[Any, ...]) -> Fingerprint:
        """
        Return what identifies a call with these bound values.

        Raises:
            FingerprintError: An argument could not be recognised by another process.
        """
        texts: dict[str, str] = {}
        get = ENCODERS.get
        try:
            for place, name, prefix, constant in self._plan:
                value = values[place]
                if value is constant:
                    continue
                text = get(type(value), unknown)(value)
                if constant is not NO_DEFAULT and text == self._default_text(name):
                    continue
                texts[name] = prefix + (text if len(text) <= _LONGEST_TEXT else _shortened(text))
        except (NoLastingValue, RecursionError) as problem:
            raise self._explain(problem, values) from problem
        return Fingerprint(self, texts)

    def identity(self, values: tuple[Any, ...]) -> str:
        """Return the text of `fingerprint`."""
        return self.fingerprint(values).text

    def digests(self, values: tuple[Any, ...]) -> dict[str, str]:
        """Return the digests of `fingerprint`; ask a `Fingerprint` that is at hand instead."""
        return self.fingerprint(values).digests

    def chosen_identity(self, values: tuple[Any, ...], key_function: Callable[..., object]) -> str:
        """
        Return the identity of a call by what the user's own function says of its arguments.

        The function is given those of the step's arguments that it has parameters for, by name; one whose
        parameters have other names is called the way the step is.  What it raises passes through.

        Raises:
            FingerprintError: What it returned could not be recognised by another process.
        """
        if self._key_names is None or self._key_names[0] is not key_function:
            self._key_names = (key_function, find_names_wanted(key_function, self.parameters))
        names = self._key_names[1]
        if names is None:
            chosen = self._call_like_step(key_function, values)
        else:
            arguments = self.arguments(values)
            chosen = key_function(**{name: arguments[name] for name in names})
        try:
            return _CHOSEN + canonical(chosen)
        except NoLastingValue as problem:
            raise explain(problem, step=self.step, argument="key", value=chosen) from problem

    def mutated(self, values: tuple[Any, ...], identity: str) -> str | None:
        """
        Return the name of a parameter whose value is not what it was, or None.

        Args:
            values: The bound values, after the step has run.
            identity: What `identity` said of them before.
        """
        if identity.startswith(_CHOSEN):
            return None
        try:
            now = self.fingerprint(values)
        except FingerprintError as error:
            # It had a lasting value before the step ran.
            return error.argument
        return None if now.text == identity else self._first_changed(now, identity)

    def arguments(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """Return the bound values by name of their parameter; `*args` is a tuple, `**kwargs` a dict."""
        return dict(zip(self.parameters, values, strict=True))

    def show(self, values: tuple[Any, ...]) -> str:
        """Return the call as a person would write it, shortened; never raises."""
        return self._shown.show(values)

    def default_digest(self, name: str) -> str:
        """Return the eight digits of a parameter that was left at its default."""
        text = self._default_text(name)
        if text is None:
            return digest("a default that is known by being the default")[:8]
        return digest(f"{name}={text if len(text) <= _LONGEST_TEXT else _shortened(text)}")[:8]

    def _keep_default(self, name: str) -> object:
        """Return what stands for the default by being the same object; one that can change is kept as its text."""
        default = self._defaults[name]
        if not is_constant(default):
            try:
                self._default_texts[name] = canonical(default)
            except Exception:  # a sentinel, or the user's own methods, which must not end an import
                return default
            return _CHANGEABLE
        return default

    def _default_text(self, name: str) -> str | None:
        # Found when first needed: a default may be of a class that is registered after the step was made.
        if name not in self._default_texts:
            try:
                self._default_texts[name] = canonical(self._defaults[name])
            except NoLastingValue:
                self._default_texts[name] = None
        return self._default_texts[name]

    def _call_like_step(self, function: Callable[..., object], values: tuple[Any, ...]) -> object:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, kind, value in zip(self.parameters, self._kinds, values, strict=True):
            if kind is Parameter.KEYWORD_ONLY:
                named[name] = value
            elif kind is Parameter.VAR_KEYWORD:
                named.update(value)
            elif kind is Parameter.VAR_POSITIONAL:
                positional.extend(value)
            else:
                positional.append(value)
        return function(*positional, **named)

    def _explain(self, problem: NoLastingValue | RecursionError, values: tuple[Any, ...]) -> FingerprintError:
        for place, name, _, constant in self._plan:
            if values[place] is not constant:
                try:
                    ENCODERS.get(type(values[place]), unknown)(values[place])
                except (NoLastingValue, RecursionError) as again:
                    return explain(again, step=self.step, argument=name, value=values[place])
        # Another thread changed the argument meanwhile.
        name = self.counted[0]
        return explain(problem, step=self.step, argument=name, value=values[self._plan[0][0]])

    def _first_changed(self, now: Fingerprint, identity: str) -> str | None:
        before = identity
        for name in self.counted:
            text = now.texts.get(name)
            if text is None:
                if before.startswith(f"{name}="):
                    return name
            elif before == text or before.startswith(f"{text},"):
                before = before[len(text) + 1 :]
            else:
                return name
        return None


def _shortened(text: str) -> str:
    # No canonical text begins with this sign.
    return f"#{digest(text)}"


def _check_ignore(ignore: Collection[str], parameters: tuple[str, ...], step: str) -> frozenset[str]:
    ignored = frozenset([ignore] if isinstance(ignore, str) else ignore)
    for name in sorted(ignored, key=str):
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise UsageError(
                f"step {step!r}: ignore={name!r} names no parameter of the function. Its parameters: {known}.",
                slug="unknown-ignore",
                value=name,
            )
    return ignored
