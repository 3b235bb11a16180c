"""`hf-hybrid COMMAND ...`: reads options, runs one command, turns errors into exit codes.

0 = done, 2 = bad input (one line), 3 = push refused by the gate, 1 = anything else. Of an error that is not the user's
only the place is told, since a library's message may hold a private cell; HF_HYBRID_DEBUG=1 shows the traceback.
"""

import importlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from typing import get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from hf_hybrid.core.errors import InputError, PushFailed, PushRefused

COMMANDS = {
    "inspect": "show the schema of a dataset and warn of what spoils a release",
    "split": "divide a dataset into train, validation and test by patient",
    "phantom": "draw the built-in cohort",
    "train-codec": "train an alphaGAN on public images",
    "fit": "learn private records: codec + sampler = pipeline",
    "generate": "draw a release from a pipeline",
    "evaluate": "measure a release against real train and test records",
    "push": "upload a codec, a pipeline or a release",
    "reader-study": "let people tell synthetic from real images, and score them",
    "benchmark": "compare samplers on one split",
    "run": "all stages from one YAML file, resumable",
}
_HELP = "\n".join(
    ["usage: hf-hybrid COMMAND [options]", "", *(f"  {name:12} {what}" for name, what in COMMANDS.items())]
    + ["", "`hf-hybrid COMMAND --help` shows the options of a command.", ""]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the process's own) and returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(_HELP)
        return 0 if argv else 2
    if argv[0] == "--version":
        from hf_hybrid import __version__

        sys.stdout.write(f"hf-hybrid {__version__}\n")
        return 0
    if argv[0] not in COMMANDS:
        return _complain(f"expected a command among {', '.join(COMMANDS)}, found {argv[0]!r}", 2)
    return run_command(argv[0], argv[1:])


def run_command(name: str, argv: Sequence[str]) -> int:
    """Runs one command; the scripts call this too."""

    def run() -> int:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and name != "train-codec":
            raise InputError(f"expected one process for {name}, found several: only train-codec shares its work")
        command = importlib.import_module(f"hf_hybrid.commands.{name.replace('-', '_')}")
        options = _parse(name, command, list(argv))
        _use_cores()
        return command.main(options)

    return guarded(run)


def guarded(run: Callable[[], int]) -> int:
    """Calls `run` and turns what it raises into one line and an exit code."""
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
        return _complain("stopped; the same command continues where it can", 130)
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


def _parse(name: str, command, argv: list[str]) -> object:
    """The command's `Options`, from positional words, flags and, for `run`, a YAML file."""
    positional = getattr(command, "POSITIONAL", ())
    parser = ArgumentParser(prog=f"hf-hybrid {name}", description=COMMANDS[name], exit_on_error=False)
    takes_config = "config" in positional
    if takes_config:
        parser.add_argument("--config", action="config", help="YAML file with the options below")
        if argv and not argv[0].startswith("-"):
            argv = ["--config", *argv]
        positional = ()
    for word in positional:
        parser.add_argument(word, type=str)
    parser.add_class_arguments(command.Options, skip=set(positional))
    try:
        argv = _joined(argv, getattr(command, "SEVERAL", ()))
        parsed = parser.parse_args(_spelled_out(argv, command.Options))
    except ArgumentError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{reason}; `hf-hybrid {name} --help` shows the options") from None
    if takes_config and parsed.config is None and not {"-h", "--help"} & set(argv):
        raise InputError(f"expected a YAML file, found none: hf-hybrid {name} CONFIG.yaml")
    values = vars(parser.instantiate(parsed))
    return command.Options(**{key: value for key, value in values.items() if key != "config"})


def _joined(argv: list[str], several: tuple[str, ...]) -> list[str]:
    """`--score a.csv b.csv` as the list that the parser reads."""
    words = []
    for index, word in enumerate(argv):
        flags = [before for before in argv[:index] if before.startswith("--")]
        if flags and flags[-1].removeprefix("--") in several and not word.startswith("--"):
            earlier = [] if words[-1] == flags[-1] else json.loads(words.pop())
            words.append(json.dumps([*earlier, word]))
        else:
            words.append(word)
    return words


def _spelled_out(argv: list[str], options: type) -> list[str]:
    """What people type for what the parser reads: `--dry-run` for `--dry_run true`, `--targets a,b` for a list."""
    kinds, words, name = dict(_flags(options)), [], ""
    for word, following in zip(argv, [*argv[1:], "--"], strict=False):
        value, equals = word, ""
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            name = flag[2:].replace("-", "_")
            name = name if name in kinds else ""
            word = f"--{name}{equals}{value}" if name else word
        if equals or not word.startswith("--"):
            if kinds.get(name) in (list[str], list[str] | None) and not value.startswith("["):
                listed = json.dumps([part.strip() for part in value.split(",")])
                word = f"--{name}={listed}" if equals else listed
            name = ""
        words.append(word)
        if kinds.get(name) in (bool, bool | None) and following.lower() not in ("true", "false"):
            words.append("true")
            name = ""
    return words


def _flags(options: type, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every flag of a command and its type; those of nested options as `outer.inner`."""
    for name, kind in get_type_hints(options).items():
        yield prefix + name, kind
        if is_dataclass(kind):
            yield from _flags(kind, f"{prefix}{name}.")


def _use_cores() -> None:
    """Torch's threads once, for the whole process: the cores this process may use, unless the user says otherwise."""
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
