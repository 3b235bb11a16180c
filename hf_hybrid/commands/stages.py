"""Stages that `run` and `benchmark` share: their state, the private records and the codec."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hf_hybrid import __version__
from hf_hybrid.commands.train_codec import train
from hf_hybrid.core.artifacts import CARD
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import private_folder, write_atomically
from hf_hybrid.models.builtin import builtin_codecs, codec_fingerprint, codec_folder, is_builtin
from hf_hybrid.models.options import CodecOptions

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class CohortOptions:
    """A draw of the built-in cohort.

    Args:
        num_records: records.
        resolution: height and width in pixels.
        seed: seed of the draw.
    """

    num_records: int = 1342
    resolution: int = 64
    seed: int = 0


@dataclass(kw_only=True)
class SplitOptions:
    """How records are divided by patient, where the dataset has no splits of its own.

    Args:
        test: share of the patients.
        validation: share of the patients, on whom `benchmark` compares samplers; `run` leaves them out.
        seed: seed of the choice of patients.
    """

    test: float = 0.25
    validation: float = 0.0
    seed: int = 0


@dataclass(kw_only=True)
class DataOptions:
    """Options of the records, of the codec that encodes them, and of the output.

    Args:
        output_dir: folder of all results; private intermediate files are in its `logs/`.
        dataset: private records; None draws the built-in cohort.
        public_dataset: images that train the codec; drawn too, if the private records are.
        pretrained_codec: a codec to use instead of training one: `builtin:radiographs` and others of the package, a
            folder or a Hub id.
        schema: file that overrides the inferred schema of the columns, or the description itself.
        targets: columns that the utility scores predict.
        allow_other_images: encode images of another kind than the codec's public ones all the same; it is said in the
            card.
        cohort: the built-in private cohort.
        public_cohort: the built-in public images.
        split: how records are divided.
        codec: the codec and its training.
    """

    output_dir: str = "runs/hybrid"
    dataset: str | None = None
    public_dataset: str | None = None
    pretrained_codec: str | None = None
    schema: str | dict | None = None
    targets: list[str] | None = None
    allow_other_images: bool = False
    cohort: CohortOptions = field(default_factory=CohortOptions)
    public_cohort: CohortOptions = field(default_factory=lambda: CohortOptions(num_records=2000, seed=1))
    split: SplitOptions = field(default_factory=SplitOptions)
    codec: CodecOptions = field(default_factory=CodecOptions)


class Stages:
    """The completed stages of an output folder, and their inputs.

    A stage is skipped while its inputs (options and the stages before it) are the same. If they have changed, its
    earlier output is moved to `logs/replaced/`, never deleted. If it was interrupted, its checkpoints are in
    `logs/<stage>`.
    """

    def __init__(self, output_dir: Path) -> None:
        output_dir.mkdir(parents=True, exist_ok=True)
        self.logs = private_folder(output_dir / "logs")
        self.done: dict[str, str] = {}

    def run(
        self, name: str, output: Path, inputs: dict, make: Callable[[Path], object], last: str | None = None
    ) -> Path:
        """Makes `output` by `make(logging_dir)` unless it is there from the same inputs; returns it.

        Args:
            name: name of the stage.
            output: its output.
            inputs: JSON-able; together with the earlier stages, everything that the output depends on.
            make: makes the output, or continues an interrupted run.
            last: the file in `output` that is written last, for an output that is written file by file.
        """
        inputs = {"version": __version__, "before": dict(self.done), **inputs}
        digest = hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()
        mark = private_folder(self.logs / "stages") / name
        # Without a mark of these inputs, an existing output was made from others.
        if not mark.exists() or mark.read_text() != digest:
            self._set_aside(name, output, self.logs / name)
            write_atomically(mark, digest)
        if (output / last if last else output).exists():
            logger.info("%s: nothing has changed", name)
        else:
            logger.info("%s: begins", name)
            make(self.logs / name)
        self.done[name] = digest
        return output

    def _set_aside(self, name: str, *paths: Path) -> None:
        partial = [path.with_name(path.name + ".partial") for path in paths]
        there = [path for path in (*paths, *partial) if path.exists()]
        if there:
            replaced = private_folder(self.logs / "replaced")
            folder = private_folder(replaced / f"{name}-{len(list(replaced.iterdir()))}")
            for path in there:
                shutil.move(path, folder / path.name)
            logger.info("%s: inputs have changed; the earlier output is now in %s", name, folder)


def private_records(options: DataOptions, stages: Stages) -> tuple[str, str | dict | None]:
    """The private dataset with its splits, and the schema to read it with."""
    from hf_hybrid.data.records import load_records, write_records
    from hf_hybrid.data.sources import fingerprint, split_names
    from hf_hybrid.data.splits import join_equal_images, split_by_patient
    from hf_hybrid.phantom.cohort import write_phantom
    from hf_hybrid.phantom.variables import phantom_schema

    dataset, schema = options.dataset, options.schema
    if options.pretrained_codec and is_builtin(options.pretrained_codec):
        codec_folder(options.pretrained_codec)  # whether there is such a codec
    if dataset is None:
        cohort = options.cohort
        folder = stages.logs / "cohort-images"
        stages.run(
            "cohort",
            folder,
            asdict(cohort),
            lambda _: write_phantom(folder, cohort.num_records, cohort.resolution, cohort.seed),
        )
        dataset, schema = str(folder), schema or phantom_schema()
    if {"train", "test"} <= set(split_names(dataset)):
        return dataset, schema

    def divide(_: Path) -> None:
        records = load_records(dataset, schema)
        groups = join_equal_images(records.groups, records.check_images().digests)
        split = options.split
        write_records(records, folder, split_by_patient(groups, split.test, split.validation, split.seed))

    folder = stages.logs / "records"
    inputs = {"dataset": fingerprint(dataset), "schema": _content(schema), **asdict(options.split)}
    return str(stages.run("split", folder, inputs, divide)), schema


def check_records(options: DataOptions, dataset: str, schema: str | dict | None) -> None:
    """Checks schema, targets and splits before hours of training.

    Raises:
        InputError: train and test do not fit together; or a column that `train` would release looks like an identifier
            in `test`, of a dataset that had its own splits.
    """
    from hf_hybrid.data.records import load_records
    from hf_hybrid.evaluation.records import check_apart

    records = load_records(f"{dataset}:train", schema, targets=options.targets)
    test = load_records(f"{dataset}:test", schema, targets=options.targets)
    check_apart([records, test])
    codes = [
        name for name, column in test.schema.columns.items() if column.role == "id" and name in records.schema.table
    ]
    if codes:
        raise InputError(
            f"expected the same kind of cells in both splits, found identifiers in {codes} of `test` only: give these "
            "columns a `role` in `schema`"
        )
    for name, words in records.unread.items():
        logger.warning("`%s`: %d words became missing; hf-hybrid inspect lists them", name, len(words))


def make_codec(options: DataOptions, stages: Stages) -> Path | str:
    """The codec named, or one trained on the public images in `codec/`."""
    from hf_hybrid.data.sources import fingerprint, overlap

    if options.pretrained_codec:
        stages.done["codec"] = codec_fingerprint(options.pretrained_codec)
        return options.pretrained_codec
    public = _drawn_images(options, stages) if options.public_dataset is None else options.public_dataset
    codec = options.codec
    if options.dataset and not codec.private_images and overlap(public, options.dataset):
        raise InputError(
            "expected a `public_dataset` of other images, found the private ones: if that is meant, set "
            "`codec.private_images`, and name their training split alone"
        )
    output = Path(options.output_dir) / "codec"
    inputs = {"dataset": fingerprint(public), **asdict(codec)}
    # The private cohort does not affect the codec.
    before, stages.done = stages.done, {name: stages.done[name] for name in ("public",) if name in stages.done}
    stages.run("codec", output, inputs, lambda logs: train(codec, public, output, logs), last=CARD)
    stages.done |= before
    return output


def _drawn_images(options: DataOptions, stages: Stages) -> str:
    """The public images of the built-in cohort, where the private records are drawn too."""
    from hf_hybrid.phantom.cohort import write_phantom

    if options.dataset is not None:
        raise InputError(
            "expected `public_dataset` (images of the same kind, to train the codec on) or `pretrained_codec` "
            f"({', '.join(builtin_codecs()) or 'a folder or Hub id'}) beside `dataset`, found neither: name one"
        )
    cohort = options.public_cohort
    if cohort.seed == options.cohort.seed:
        raise InputError(f"expected another `seed` for public_cohort than for cohort, found {cohort.seed} for both")
    folder = stages.logs / "public-images"
    stages.run(
        "public",
        folder,
        asdict(cohort),
        lambda _: write_phantom(folder, cohort.num_records, cohort.resolution, cohort.seed, images_only=True),
    )
    drawn = f"{cohort.num_records:,} drawn phantoms of another seed"
    options.codec.image_source = options.codec.image_source or drawn
    return str(folder)


def encode_records(
    options: DataOptions, stages: Stages, dataset: str, schema: str | dict | None, codec: Path | str
) -> Path:
    """The latent table of the training records, in the private folder `logs/latent-table`."""
    from hf_hybrid.core.files import new_folder
    from hf_hybrid.data.records import load_records
    from hf_hybrid.data.sources import fingerprint
    from hf_hybrid.models.calibration import compare_images
    from hf_hybrid.synthesis.latent_table import LatentTable
    from hf_hybrid.synthesis.pipeline import load_codec

    latents = stages.logs / "latent-table"

    def encode(_: Path) -> None:
        records = load_records(f"{dataset}:train", schema, targets=options.targets)
        loaded, facts = load_codec(codec)
        images = compare_images(records, loaded, facts, options.allow_other_images)
        logger.info("images: %s", images)
        with new_folder(latents, mode=0o700) as folder:
            LatentTable.encode(records, loaded, images).save(folder)

    inputs = {"dataset": fingerprint(dataset), "schema": _content(schema), "targets": options.targets}
    inputs |= {"allow_other_images": True} if options.allow_other_images else {}
    return stages.run("latents", latents, inputs, encode)


def _content(schema: str | dict | None) -> object:
    return Path(schema).read_text(encoding="utf-8") if isinstance(schema, str) and Path(schema).exists() else schema
