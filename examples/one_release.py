# ruff: noqa: T201
"""One release from private records to evidence, on one page and with the public names.

    python examples/one_release.py                                     the built-in cohort, 400 small records
    python examples/one_release.py RECORDS --codec CODEC --targets outcome    your own records and a trained codec

`hf-hybrid run` does the same with more care: it trains the codec, resumes after a crash, attacks the pipeline's files
and writes the report into the release, without which no push goes through.
"""

import argparse
from pathlib import Path

import torch

from hf_hybrid import (
    AlphaGAN,
    GaussianCopulaSampler,
    HybridPipeline,
    LatentTable,
    evaluate_release,
    load_records,
    split_by_patient,
    write_phantom,
    write_records,
    write_release,
)


def one_release(output_dir, dataset=None, codec=None, targets=("outcome",), num_records=400, seed=0):
    """Makes a release below `output_dir`, evaluates it and returns the report."""
    output_dir = Path(output_dir)

    # 1. Private records: images with a clinical table. Without a dataset, the built-in cohort is drawn.
    if dataset is None:
        dataset = output_dir / "cohort"
        write_phantom(dataset, num_records, resolution=32, seed=0)
    records = load_records(dataset, targets=targets)

    # 2. Split by patient, before anything learns: held-out patients are used for the evaluation and for nothing else.
    splits = split_by_patient(records.groups, test=0.25, validation=0, seed=seed)
    write_records(records, output_dir / "private", splits)
    train, test = (f"{output_dir / 'private'}:{split}" for split in ("train", "test"))

    # 3. A codec that knows public images only. This one is a PCA, the start of `hf-hybrid train-codec`.
    if codec is None:
        codec = output_dir / "codec"
        write_phantom(output_dir / "public", num_records, resolution=32, seed=1, images_only=True)
        pixels = torch.from_numpy(load_records(output_dir / "public").pixel_values(32))[:, None] / 127.5 - 1
        untrained = AlphaGAN(resolution=32, latent_dim=16, base_channels=8, max_channels=32)
        untrained.initialise_linear_path(pixels)
        untrained.save_with_card(codec)
    model = AlphaGAN.from_pretrained(codec)

    # 4. Latent table: each image becomes latents, each cell goes through the privacy rule.
    table = LatentTable.encode(load_records(train, targets=targets), model.eval())

    # 5. A sampler learns the table; codec + sampler + schema = pipeline. Any other sampler fits in the same place.
    pipeline = HybridPipeline.fit(table, codec, GaussianCopulaSampler())
    pipeline.save_pretrained(output_dir / "pipeline")

    # 6. Release: five synthetic records per training record, in a folder that `load_dataset` reads.
    release = write_release(pipeline, output_dir / "release", num_records=5 * len(table.dataset), seed=seed)

    # 7. Evidence: utility, fidelity, pairing and privacy, on training patients and on held-out ones.
    return evaluate_release(release, train, test)


def show(report):
    """Prints what models trained on real and on synthetic records reach, and what the attacks found."""
    for one in report.utility.scores:
        if one.metric == "auc" and one.trained_on in ("real", "synthetic 5x"):
            found = one.reason or "AUC {:.2f} ({:.2f} to {:.2f})".format(one.value, *one.interval)
            print(f"{one.target} from {one.inputs}, trained on {one.trained_on}: {found}")
    for family in report.privacy.families:
        print(f"{family.name}: {family.verdict.word}")
    print(f"privacy: {report.privacy.verdict}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", help="private records; the built-in cohort if not given")
    parser.add_argument("--codec", help="folder or Hub id; needed beside a dataset")
    parser.add_argument("--targets", default="outcome", help="columns to predict, joined by commas")
    parser.add_argument("--output_dir", default="runs/one_release", help="a new folder")
    options = parser.parse_args()
    if options.dataset and not options.codec:
        parser.error("expected `--codec` beside a dataset, found none: train one with `hf-hybrid train-codec`")
    show(one_release(options.output_dir, options.dataset, options.codec, options.targets.split(",")))
