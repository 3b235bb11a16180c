"""The parser of every command: jsonargparse, with flags and lists as people type them."""

from argparse import Action
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ArgumentParser
from jsonargparse.typing import register_type

Part = TypeVar("Part")


def pick(kind: type[Part], options: object) -> Part:
    """The part of a command's options that is of another dataclass."""
    return kind(**{field.name: getattr(options, field.name) for field in fields(kind)})


class Names(str):
    """Names as typed: `a,b` or `[a,b]`, read as a list of strings."""


def _read_names(value: object) -> list[str]:
    if isinstance(value, str) and not value.startswith("["):  # jsonargparse has read what is a list already
        return [name.strip() for name in value.split(",")]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"expected names as a,b or [a,b], found {value!r}")
    return value


register_type(Names, serializer=list, deserializer=_read_names)


class OptionsParser(ArgumentParser):
    """Reads options as jsonargparse does, and as people type them.

    Any underscore of a flag may be a dash, a flag of a `bool` needs no value, a `list[str]` is `a,b`, and a
    `list[Path]` takes several words, as a shell makes of `*.csv`. Flags are not abbreviated.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(exit_on_error=False, allow_abbrev=False, print_config=None, **kwargs)

    # Three private parts of argparse are used; there are no public ones. `_option_string_actions` takes the spelling
    # with dashes, so that the help shows each flag once; `_parse_known_args` sees the words of the command line; with
    # them `_match_argument` decides whether the word after a bare flag is its value or a positional argument.
    # jsonargparse gives the same method to its groups.
    def add_argument(self, *names: str, **kwargs: Any) -> Action:
        """Adds an argument; see `argparse.ArgumentParser.add_argument`."""
        kind = getattr(kwargs.get("action"), "_typehint", kwargs.get("type"))  # a compound type comes as an action
        if kind in (bool, bool | None):
            kwargs |= {"nargs": "?", "const": True}
        elif kind in (list[str], list[str] | None):
            kind = Names if kind == list[str] else Names | None
            names, kwargs = names[:1], kwargs | {"action": None, "type": kind, "metavar": "NAME,..."}
        elif kind in (list[Path], list[Path] | None):
            names, kwargs = names[:1], kwargs | {"action": None, "type": Path, "metavar": "FILE", "nargs": "+"}
        action = super().add_argument(*names, **kwargs)
        # In addition to the names in the help, which would be twice as long with both.
        self._option_string_actions.update({name.replace("_", "-"): action for name in action.option_strings})
        return action

    def _parse_known_args(self, arg_strings: Sequence[str], *args: Any, **kwargs: Any) -> Any:
        self._words = arg_strings
        return super()._parse_known_args(arg_strings, *args, **kwargs)

    def _match_argument(self, action: Action, arg_strings_pattern: str) -> int:
        """How many of the next words belong to a flag: none if it is bare and a positional word follows."""
        start = len(self._words) - len(arg_strings_pattern)
        is_bare = self._option_string_actions.get(self._words[start - 1]) is action  # not `--flag=value`
        following = "".join(self._words[start : start + 1]).lower()
        if action.const is True and is_bare and following not in ("true", "false", "null"):
            return 0
        return super()._match_argument(action, arg_strings_pattern)
