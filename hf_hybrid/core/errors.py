"""Errors that end a command with one line, and checks of options that raise them."""

from collections.abc import Callable, Sequence

MAX_NAMED = 20  # items named in one message


class InputError(ValueError):
    """Bad input: the message says in one line what was expected, what was found and what to do (exit code 2)."""


class PushRefused(RuntimeError):
    """The gate refused a push; nothing was uploaded (exit code 3)."""


class PushFailed(RuntimeError):
    """A push that passed the gate was not completed; the repository is as visible as before (exit code 1)."""


def listed(items: Sequence) -> str:
    """At most `MAX_NAMED` items for a message, then how many more there are."""
    more = len(items) - MAX_NAMED
    return "; ".join(map(str, items[:MAX_NAMED])) + (f"; and {more} more" if more > 0 else "")


def check_above(options: object, low: float, *names: str) -> None:
    """Raises InputError for the first of these options that is not above `low`."""
    _check(options, names, lambda value: value > low, f"above {low:g}")


def check_at_least(options: object, low: float, *names: str) -> None:
    """Raises InputError for the first of these options that is below `low`."""
    _check(options, names, lambda value: value >= low, f"of at least {low:g}")


def check_share(options: object, *names: str) -> None:
    """Raises InputError for the first of these options that is not from 0 to below 1."""
    _check(options, names, lambda value: 0 <= value < 1, "from 0 to below 1")


def _check(options: object, names: Sequence[str], holds: Callable[[float], bool], words: str) -> None:
    for name in names:
        if not holds(getattr(options, name)):
            raise InputError(f"expected `{name}` {words}, found {getattr(options, name)}")
