"""What a user's project does with the public names; `make quality` checks its types, nothing runs it."""

from pathlib import Path

from hf_hybrid import (
    AlphaGAN,
    CTGANSampler,
    DiffusionSampler,
    GaussianCopulaSampler,
    HybridPipeline,
    InputError,
    LatentTable,
    Records,
    RecordSchema,
    evaluate_release,
    load_records,
    push,
    split_by_patient,
    write_phantom,
    write_records,
    write_release,
)


def whole_path(folder: Path) -> str:
    """From records to a verdict."""
    write_phantom(folder / "records", num_records=100)
    try:
        records: Records = load_records(folder / "records", targets=["outcome"])
    except InputError as error:
        return str(error)
    schema: RecordSchema = records.schema
    train = records.select(split_by_patient(records.groups)["train"])
    write_records(records, folder / "divided", split_by_patient(records.groups))
    codec: AlphaGAN = AlphaGAN.from_pretrained(folder / "codec")
    table: LatentTable = LatentTable.encode(train, codec)
    samplers = [GaussianCopulaSampler(shrinkage=0.1), DiffusionSampler(max_train_steps=10), CTGANSampler(pac=1)]
    pipeline: HybridPipeline = HybridPipeline.fit(table, codec, samplers[0])
    dataset = pipeline(num_records=10, seed=0, conditions={"outcome": "deceased", "age": (60.0, 80.0)})
    release: Path = write_release(pipeline, folder / "release", num_records=len(dataset))
    report = evaluate_release(release, str(folder / "train"), str(folder / "test"))
    address: str = push(release, "me/mine", dry_run=True).url
    parts: dict[str, object] = report.measured()
    return f"{address} {schema.targets} {sorted(parts)}"
