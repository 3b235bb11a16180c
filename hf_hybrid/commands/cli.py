"""`hf-hybrid COMMAND ...`: reads options, runs one command, turns errors into exit codes.

0 = done, 2 = bad input (one line), 3 = push refused by the gate, 1 = anything else. For an unexpected error only its
location is printed, since a library's message may contain a private cell; HF_HYBRID_DEBUG=1 shows the traceback.
"""

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from types import ModuleType
from typing import Any

from jsonargparse import SUPPRESS, ArgumentError, Namespace

from hf_hybrid.commands.options_parser import OptionsParser
from hf_hybrid.core.cores import num_cores
from hf_hybrid.core.errors import InputError, PushFailed, PushRefused

COMMANDS = {
    "inspect": "show the schema of a dataset and warn about problems",
    "split": "divide a dataset into train, validation and test by patient",
    "phantom": "draw the built-in cohort",
    "train-codec": "train an alphaGAN on public images",
    "fit": "fit a sampler to private records: codec + sampler = pipeline",
    "generate": "draw a release from a pipeline",
    "evaluate": "measure a release against real train and test records",
    "push": "upload a codec, a pipeline or a release",
    "reader-study": "test whether people can distinguish synthetic from real images",
    "benchmark": "compare samplers on one split",
    "run": "all stages from one YAML file, resumable",
}
# Commands that compute without torch: importing it only to set its threads would take seconds.
WITHOUT_TORCH = ("inspect", "split", "phantom", "push")
_HELP = "\n".join(
    ["usage: hf-hybrid COMMAND [options]", "", *(f"  {name:12} {what}" for name, what in COMMANDS.items())]
    + ["", "`hf-hybrid COMMAND --help` shows the options of a command, `hf-hybrid --version` the version."]
    + ["`hf-hybrid --completion bash` (or zsh) prints a script that completes commands and flags.", ""]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the process's own) and returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(_HELP)
        return 0 if argv else 2
    if argv[0].startswith("-"):
        return guarded(lambda: _show(argv))
    if argv[0] not in COMMANDS:
        return _complain(f"expected a command among {', '.join(COMMANDS)}, found {argv[0]!r}", 2)
    return run_command(argv[0], argv[1:])


def run_command(name: str, argv: Sequence[str]) -> int:
    """Runs one command; the scripts call this too."""

    def run() -> int:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and name != "train-codec":
            raise InputError(f"expected one process for {name}, found several: only train-codec shares its work")
        options = parse(name, argv)
        if name not in WITHOUT_TORCH:
            _use_cores()
        return _module(name).main(options)

    return guarded(run)


def guarded(run: Callable[[], int]) -> int:
    """Calls `run` and turns its errors into one line and an exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("hf_hybrid").setLevel(logging.INFO)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # `datasets` reads it when a command imports it
    try:
        return run()
    except InputError as error:
        return _complain(str(error), 2)
    except PushRefused as error:
        return _complain(f"push refused: {error}", 3)
    except PushFailed as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:
        return _complain("stopped; run the same command again to continue", 130)
    except Exception as error:
        if os.environ.get("HF_HYBRID_DEBUG"):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        package = os.path.dirname(os.path.dirname(__file__))
        ours = [frame for frame in frames if frame.filename.startswith(package)][-1]
        where = f"{os.path.basename(ours.filename)}:{ours.lineno} in {ours.name}"
        return _complain(
            f"{type(error).__name__} at {where}; HF_HYBRID_DEBUG=1 shows the traceback, which may hold private cells",
            1,
        )


def parse(name: str, argv: Sequence[str]) -> Any:
    """The command's `Options` from its arguments.

    Raises:
        InputError: the command does not accept them.
    """
    command, parser = _module(name), make_parser(name)
    parsed = _in_one_line(parser, lambda: _with_file(parser, argv) if _has_file(command) else parser.parse_args(argv))
    return command.Options(**vars(parser.instantiate(parsed)))


def _in_one_line(parser: OptionsParser, read: Callable[[], Namespace]) -> Namespace:
    try:
        return read()
    except (ArgumentError, TypeError) as error:  # the second for a file that cannot be read
        raise InputError(f"{' '.join(str(error).split())}; `{parser.prog} --help` shows the options") from None


def make_parser(name: str) -> OptionsParser:
    """The parser of a command: the fields of its `Options`, those that it names in `POSITIONAL` without a flag."""
    command = _module(name)
    parser = OptionsParser(prog=f"hf-hybrid {name}", description=COMMANDS[name])
    positional = set(getattr(command, "POSITIONAL", ()))
    flags = {field.name for field in fields(command.Options)} - positional
    if _has_file(command):
        parser.add_argument("config", nargs="?", default=SUPPRESS, help="YAML file with the options below")
        parser.add_argument(
            "--config", default=SUPPRESS, help="the same as a flag; every other flag overrides the file"
        )
        parser.add_argument("--print_config", type=bool, default=SUPPRESS, help="print all options as YAML and exit")
    elif positional:
        parser.add_class_arguments(command.Options, as_group=False, as_positional=True, skip=flags)
    parser.add_class_arguments(command.Options, skip=positional)
    return parser


def completion_script(shell: str) -> str:
    """A script that completes commands and flags in bash or zsh."""
    parser = _top_parser()
    commands = parser.add_subcommands()
    for name, what in COMMANDS.items():
        commands.add_subcommand(name, make_parser(name), help=what)
    return parser.get_completion_script(f"shtab-{shell}")


def _top_parser() -> OptionsParser:
    parser = OptionsParser(prog="hf-hybrid")
    parser.add_argument("--version", type=bool, help="show the version and exit")
    parser.add_argument("--completion", choices=("bash", "zsh"), help="print a completion script and exit")
    return parser


def _show(argv: Sequence[str]) -> int:
    """Handles the flags that come before any command."""
    parser = _top_parser()
    asked = _in_one_line(parser, lambda: parser.parse_args(argv))
    if asked.completion:
        sys.stdout.write(completion_script(asked.completion))
    elif asked.version:
        from hf_hybrid import __version__

        sys.stdout.write(f"hf-hybrid {__version__}\n")
    return 0


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"hf_hybrid.commands.{name.replace('-', '_')}")


def _has_file(command: ModuleType) -> bool:
    return "config" in getattr(command, "POSITIONAL", ())


def _with_file(parser: OptionsParser, argv: Sequence[str]) -> Namespace:
    """The options of a YAML file, overridden by the flags; the file may be anywhere among the flags."""
    given = parser.parse_args(argv, defaults=False)
    path, shows = given.pop("config", None), given.pop("print_config", False)
    if path is None and not shows:
        raise InputError(f"expected a YAML file, found none: {parser.prog} CONFIG.yaml")
    of_file = parser.parse_path(path) if path else parser.get_defaults()
    if wrong := {"config", "print_config"} & vars(of_file).keys():
        raise ArgumentError(None, f"Option {wrong.pop()!r} is not accepted in a file")
    parsed = parser.parse_object(given, namespace=of_file)
    if shows:
        sys.stdout.write(parser.dump(parsed))
        sys.exit(0)
    return parsed


def _use_cores() -> None:
    """Torch's threads once, for the whole process: the cores this process may use, unless the user sets a number."""
    import torch

    torch.set_num_threads(num_cores())


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
