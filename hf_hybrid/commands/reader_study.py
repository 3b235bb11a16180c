"""`hf-hybrid reader-study`: a blinded page for readers inside the hospital, and the scores of their answers."""

import sys
from dataclasses import dataclass
from pathlib import Path

POSITIONAL = ("release",)


@dataclass
class Options:
    """Writes a page on which readers label images as real or synthetic, or scores their answers.

    The page, its key and a sheet of all its images in one picture are in `<release>-private/`: they show patients and
    are never pushed.

    Args:
        release: folder of a release.
        real: `DATASET[:split]` of real images to mix in; split "test" by default.
        num_images: number of images on the page, half of them real, each of a different patient.
        pairs: shows a real and a synthetic image side by side (which one is synthetic?) instead of single images.
        seed: seed of the choice of images and of their order.
        score: CSV files that readers downloaded from the page; scores them instead.
    """

    release: str
    real: str | None = None
    num_images: int = 60
    pairs: bool = False
    seed: int = 0
    score: list[Path] | None = None


def main(options: Options) -> int:
    """Writes the page, or prints the scores."""
    from hf_hybrid.core.artifacts import private_folder_of
    from hf_hybrid.core.errors import InputError
    from hf_hybrid.studies.reader_study import KEY, score_study, write_study

    private_dir = private_folder_of(options.release)
    if (options.real is None) == (options.score is None):
        raise InputError("expected either `--real DATASET`, to write the page, or `--score FILES`, found both or none")
    if options.real:
        page = write_study(options.release, options.real, private_dir, options.num_images, options.seed, options.pairs)
        sys.stdout.write(f"open in a browser inside the hospital only: {page}\n")
        sys.stdout.write(f"then: hf-hybrid reader-study {Path(options.release)} --score FILES\n")
        return 0
    found = score_study(private_dir / KEY, options.score)
    head = ("reader", "images", "accuracy (0.5: guessing)", "AUC", "synthetic called real", "seconds an image")
    rows = [
        (
            one.reader,
            str(one.num_images),
            "{:.2f} ({:.2f} to {:.2f})".format(one.accuracy, *one.accuracy_interval),
            "{:.2f} ({:.2f} to {:.2f})".format(one.auc, *one.auc_interval),
            "-" if one.synthetic_called_real is None else f"{one.synthetic_called_real:.0%}",
            f"{one.median_seconds:.1f}",
        )
        for one in found.readers
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        sys.stdout.write(
            "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        )
    if found.agreement is not None:
        sys.stdout.write(f"agreement of readers: mean Cohen's kappa {found.agreement:.2f} (0: chance, 1: the same)\n")
    return 0
