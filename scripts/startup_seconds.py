"""How long the command line takes to answer: processor seconds of `--help` and of one usage error of every command.

    python scripts/startup_seconds.py                                this environment
    python scripts/startup_seconds.py --python OTHER/bin/python      another one, to compare

Each number is the median of several fresh processes, user plus system time, after one that is not counted.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

# An unknown flag, a bad value, a required option that is missing, a file that is not there.
USAGE_ERRORS = {
    "inspect": [],
    "split": ["records"],
    "phantom": ["cohort", "--num_records", "many"],
    "train-codec": ["--dataset", "images"],
    "fit": ["--codec", "codec", "--dataset", "records", "--output_dir", "pipeline", "--sampler", "gan"],
    "generate": ["--pipeline", "pipeline", "--output_dir", "release"],
    "evaluate": ["release", "--train", "records", "--test", "records", "--parts", "everything"],
    "push": ["release", "--repo_id", "me/mine", "--publik"],
    "reader-study": ["release", "--num_images", "some"],
    "benchmark": ["no-such-file.yaml"],
    "run": ["--release.seeds", "5"],
}


def main() -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="of the environment that is measured")
    parser.add_argument("--repetitions", type=int, default=5, help="processes behind each median")
    options = parser.parse_args()
    sys.stdout.write(f"{'processor seconds':18}{'--help':>8}{'usage error':>13}\n")
    for name, words in USAGE_ERRORS.items():
        command = [options.python, "-m", "hf_hybrid.commands.cli", name]
        shown = median_seconds([*command, "--help"], 0, options.repetitions)
        refused = median_seconds([*command, *words], 2, options.repetitions)
        sys.stdout.write(f"{name:18}{shown:8.2f}{refused:13.2f}\n")
        sys.stdout.flush()
    return 0


def median_seconds(command: Sequence[str], code: int, repetitions: int) -> float:
    """Median processor seconds of a command, which must end with this exit code."""
    return statistics.median([processor_seconds(command, code) for _ in range(repetitions + 1)][1:])


def processor_seconds(command: Sequence[str], code: int) -> float:
    """User and system time of a command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Elsewhere, since Python would import the package of the current folder, whatever its environment has.
    done = subprocess.run(command, capture_output=True, text=True, cwd=tempfile.gettempdir())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != code:
        sys.exit(f"expected exit code {code} of {' '.join(command)}, found {done.returncode}: {done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
