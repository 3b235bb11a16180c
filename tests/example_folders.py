"""Small folders with the files that a release, a codec and a pipeline consist of, for tests of cards and pushes."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from hf_hybrid.core import artifacts, provenance
from hf_hybrid.core.artifacts import PROVENANCE
from hf_hybrid.core.families import FAMILIES
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema

NUM_RECORDS = 12
SCHEMA = RecordSchema(
    {
        "image": ColumnSchema("image"),
        "patient_id": ColumnSchema("group"),
        "age": ColumnSchema("clinical", "integer", unit="years", bounds=(18, 95), decimals=0, states=[]),
        "crp": ColumnSchema("clinical", "numeric", "mg/L", (0, 350), decimals=1, states=["missing", "inf"]),
        "sex": ColumnSchema("clinical", "categorical", categories=["F", "M"], states=["missing"]),
        "devices": ColumnSchema("clinical", "multi-label", categories=["tube", "line|drain"], states=[]),
        "outcome": ColumnSchema("target", "categorical", categories=["survived", "deceased"], states=[]),
    }
)
VERSIONS = {"python": "3.11.7", "hf_hybrid": "0.1.0", "datasets": "5.2.0", "torch": "2.13.0"}
CODEC = {
    "class": "AlphaGAN",
    "citation": "Rosca et al. 2017, alphaGAN, [arXiv:1706.04987](https://arxiv.org/abs/1706.04987)",
    "config": {"resolution": 32, "in_channels": 1, "latent_dim": 16, "norm": "group"},
    "training": {
        "images": "1,000 drawn chest phantoms (seed 1)",
        "steps": 2000,
        "seed": 0,
        "scores": {
            "codec": {"l1": 0.051, "psnr": 28.125, "ssim": 0.81234, "latent_normality": 0.04, "score": 0.27866},
            "pca": {"l1": 0.06, "psnr": 27.0, "ssim": 0.8, "latent_normality": 0.05, "score": 0.31},
        },
    },
}
SAMPLER = {
    "class": "CTGANSampler",
    "config": {"num_layers": 2, "pac": 1, "condition": None},
    "training": {"num_records": 900, "num_patients": 700, "steps": 3000, "kept_step": 1200, "seed": 0},
    "is_closed_form": False,
    "citation": "Xu et al. 2019, CTGAN, [arXiv:1907.00503](https://arxiv.org/abs/1907.00503)",
}
RELEASE = {
    "pretty_name": "Drawn chests",
    "license": "cc-by-4.0",
    "num_records": NUM_RECORDS,
    "seed": 7,
    "conditions": {"outcome": "deceased"},
    "source_name": None,
}


def score(target: str, trained_on: str, inputs: str, value: float | None, **changes) -> dict:
    """An entry of report.json's utility scores."""
    return {
        "target": target,
        "metric": "auc",
        "direction": "higher is better",
        "range": [0.0, 1.0],
        "inputs": inputs,
        "trained_on": trained_on,
        "n_train": 900,
        "n_test": 300,
        "n_test_patients": 250,
        "classes_scored": 2,
        "seeds": 3,
        "value": value,
        "interval": None if value is None else [value - 0.05, value + 0.05],
        "compared_with": "a constant" if trained_on == "real" else "real",
        "difference": None if value is None else value - 0.5,
        "difference_interval": None if value is None else [value - 0.6, value - 0.4],
        "reason": "the training records hold one value only" if value is None else None,
        **changes,
    }


def headline(target: str, metric: str, inputs: str, trained_on: str, share: float | None, gap: float | None) -> dict:
    """An entry of report.json's utility headline."""
    return {
        "target": target,
        "metric": metric,
        "inputs": inputs,
        "trained_on": trained_on,
        "compared_with": "real",
        "recovered_share": share,
        "recovered_share_interval": None if share is None else [share - 0.1, share + 0.1],
        "gap": gap,
        "gap_interval": None if gap is None else [gap - 0.07, gap + 0.06],
        "reason": "the lower bound of r2 with real data (0.02) is not above 0.1" if gap is None else None,
    }


UTILITY = {
    "status": "measured",
    "interval": "95 % of 500 patient-cluster bootstraps of the mean over 3 seeds",
    "scores": [
        score("outcome", "real", "image", 0.71),
        score("outcome", "real", "both", 0.8),
        score("outcome", "synthetic 5x", "image", 0.62, n_train=4500),
        score("outcome", "synthetic 5x", "both", None, n_train=4500),
        score("age", "real", "image", 0.3, metric="r2", range=[None, 1.0]),
        score("age", "synthetic 5x", "image", -0.12, metric="r2", range=[None, 1.0]),
        score("age", "real", "image", 12.5, metric="mae", direction="lower is better", range=[0.0, None]),
    ],
    "headline": [
        headline("outcome", "auc", "both", "synthetic 1x", 0.5, 0.15),
        headline("outcome", "auc", "both", "synthetic 5x", 0.74, 0.078) | {"repeated_share": 0.99},
        headline("age", "r2", "image", "synthetic 5x", None, None),
        headline("age", "mae", "image", "synthetic 5x", None, None),
    ],
}
NOT_MEASURED = {"status": "not measured", "reason": "this version does not measure it"}


def family(name: str, verdict: str = "pass", **changes) -> dict:
    """An entry of report.json's families of attacks."""
    return {
        "name": name,
        "verdict": verdict,
        "fails_above": 0.0,
        "limit": 0.05,
        "failed": ["exact copy: image"] if verdict == "fail" else [],
        "patients_needed": 400 if verdict == "inconclusive" else None,
        "advice": "use a sampler that copies less" if verdict == "fail" else None,
        "scores": [risk("exact copy: image", 0.0), risk("near copy: row", 0.012, interval=[-0.02, 0.04])],
        "details": [risk("age from the other columns", 0.02, interval=[-0.1, 0.2])]
        if name == "attribute inference"
        else [],
        **changes,
    }


def risk(name: str, value: float | None, **changes) -> dict:
    """An attack in a family."""
    return {
        "name": name,
        "value": value,
        "interval": [value, value],
        "direction": "lower is better",
        "range": [None, 1.0],
        "n": 950,
        "reference": {"training patients": value, "held-out patients": 0.0},
        "meaning": "the same image is in the release",
        "reason": None,
        **changes,
    }


def privacy(**verdicts: str) -> dict:
    """report.json's privacy; a family passes unless another verdict is given, `inconclusive` or `fail`."""
    families = [family(name, verdicts.get(name, "pass")) for name in list(FAMILIES)[:-1]]
    families.append(family("files", scores=[], details=[], limit=0.0))
    worst = min((one["verdict"] for one in families), key=("fail", "inconclusive", "pass").index)
    screening = [risk("NNDR", 0.9, interval=None, reference={"held-out patients": 0.91})]
    sides = {"training patients": [0.3, 0.7], "held-out patients": [0.2, 0.8]}
    curves = [
        {"kind": "histogram", "name": "nearest image", "edges": [0.8, 1.5, 3.0], "shares": sides},
        {
            "kind": "roc",
            "name": "distance attack: record",
            "false_positives": [0.0, 0.5, 1.0],
            "curves": {"release": [0.0, 0.6, 1.0], "Gaussian copula": [0.0, 0.5, 1.0]},
        },
    ]
    section = {"status": "measured", "verdict": worst, "families": families, "screening": screening}
    return {**section, "curves": curves}


FIDELITY = {
    "status": "measured",
    "interval": "95 %, from 100 draws of the held-out patients",
    "extractor": "random convolutional network (seed 0)",
    "table": [risk("column shapes", 0.96, interval=[0.95, 0.97], direction="higher is better")],
    "images": [risk("Frechet distance", 2.85, interval=[2.1, 3.6], reference={"training patients": 1.06})],
    "marginals": [
        {"name": "age ($)", "edges": [18.0, 50.0, 95.0], "synthetic": [0.4, 0.6], "training patients": [0.5, 0.5]},
        {"name": "sex", "names": ["F", "M"], "synthetic": [0.4, 0.6], "training patients": [0.5, 0.5]},
    ],
    "correlations": {
        "names": ["age ($)", "sex: M"],
        "synthetic": [[1.0, 0.2], [0.2, 1.0]],
        "training patients": [[1.0, 0.3], [0.3, 1.0]],
    },
}
PAIRING = {
    "status": "measured",
    "interval": "95 % of 500 patient-cluster bootstraps",
    "scores": [risk("skill", 0.4, interval=[0.37, 0.43], reference={"real": 0.44, "images shuffled": 0.04})],
    "columns": [risk("age|years", None, interval=None, reference={}, reason="all test patients have the same")],
}
REPORT = {
    "utility": UTILITY,
    "fidelity": FIDELITY,
    "pairing": PAIRING,
    "privacy": privacy(),
    "provenance": {"configuration": {"bootstraps": 500}},
}


def png(seed: int = 0, size: int = 8) -> bytes:
    """A PNG of grey noise."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def make_release(folder: Path, num_shards: int = 2, seed: int = 0, image_size: int = 8) -> Path:
    """A generated release that was not evaluated: all but the README, whose card is made from the rest."""
    _write(folder, {"assets/samples.png": png(seed, 64)})
    (folder / "data").mkdir()
    generator = np.random.default_rng(seed)
    features = SCHEMA.to_features()
    for shard, indices in enumerate(np.array_split(np.arange(NUM_RECORDS), num_shards)):
        columns = {
            "image": [{"bytes": png(100 * seed + i, image_size), "path": None} for i in indices],
            "age": [int(age) for age in generator.integers(18, 96, len(indices))],
            "crp": [[None, 3.5, float("inf"), 120.0][i % 4] for i in indices],
            "sex": [[0, 1, None][i % 3] for i in indices],
            "devices": [[[], [0], [0, 1]][i % 3] for i in indices],
            "outcome": [int(i % 2) for i in indices],
        }
        table = pa.table(columns, schema=features.arrow_schema)
        pq.write_table(table, folder / f"data/train-{shard:05d}-of-{num_shards:05d}.parquet")
    SCHEMA.save(folder / "schema.json")
    provenance.write_provenance(folder, {"versions": VERSIONS, "release": RELEASE, "codec": CODEC, "sampler": SAMPLER})
    return folder


def evaluate(folder: Path, report: dict = REPORT) -> Path:
    """Puts a report about its records into a release."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    hashes = provenance.hash_files(folder, artifacts.evaluated_files(artifacts.RELEASE, names))
    report = {**report, "provenance": {**report["provenance"], "files": hashes}}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return folder


def evaluate_model(folder: Path, membership: str = "pass") -> Path:
    """Puts a report about its files into a pipeline or a codec."""
    found = privacy(membership=membership)
    families = [one for one in found["families"] if one["name"] in ("membership", "files")]
    kind = artifacts.kind_of(folder)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    hashes = provenance.hash_files(folder, artifacts.evaluated_files(kind, names))
    report = {"privacy": {**found, "families": families}, "provenance": {**REPORT["provenance"], "files": hashes}}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return folder


def make_codec(folder: Path) -> Path:
    """A codec without its README."""
    config = {"_class_name": "AlphaGAN", **CODEC["config"]}
    _write(
        folder,
        {
            "config.json": json.dumps(config).encode(),
            "diffusion_pytorch_model.safetensors": _weights(),
            "assets/samples.png": png(0, 64),
        },
    )
    provenance.write_provenance(folder, {"versions": VERSIONS, "codec": CODEC})
    return folder


def make_studied_codec(folder: Path) -> Path:
    """The same with the range of its errors and the scores of a study."""
    make_codec(folder)
    quantiles = {"1 %": 0.02, "50 %": 0.056, "95 %": 0.146, "99 %": 0.212}
    known = {"num_images": 100, **dict.fromkeys(("l1", "lost variance", "latent square"), quantiles)}
    codec = {**CODEC, "training": {**CODEC["training"], "image_range": known}}
    provenance.write_provenance(folder, {"versions": VERSIONS, "codec": codec, "evidence": EVIDENCE})
    return folder


def _around(value: float) -> list[float]:
    return [value, round(value - 0.01, 4), round(value + 0.01, 4)]


def _studied(attack: str, verdict: str) -> dict:
    """The entry of a group of patients in a study of a codec."""
    sets = ("training images", "codec draws", "codec reconstructions", "PCA draws", "PCA reconstructions")
    made = {"mean image": _around(0.07), "drawn": _around(0.0871), "PCA": _around(0.072)}
    return {
        "patients": {"training": 1600, "held out": 60},
        "images": {"training": 2000, "held out": 87},
        "reconstruction": {"32 px": dict.fromkeys(("l1", "psnr", "ssim"), made)},
        "Frechet distance": dict(zip(sets, map(_around, (57.5, 192.6, 63.2, 252.3, 70.3)), strict=True)),
        "MS-SSIM of pairs": dict(zip(sets[::2] + sets[1::2], map(_around, (0.39, 0.4, 0.36, 0.38, 0.5)), strict=True)),
        "attacks": {
            attack: {"codec": _around(0.006), "PCA": _around(0.0), "verdict": verdict},
            "agreement of drawn and true detail": {"codec": _around(0.0123), "verdict": "not above its floor"},
        },
    }


EVIDENCE = {
    "draws": 1000,
    "groups": {
        "adults": _studied("near copy, pixels", "not above its floor"),
        "children": _studied("near copy, features", "above its floor"),
        "all": {"Frechet distance": _studied("", "")["Frechet distance"]},
    },
}


def make_pipeline(folder: Path, sampler_config: dict | None = None) -> Path:
    """A pipeline without its README and that of its codec."""
    make_codec(folder / "codec")
    sampler_config = {"_class_name": "CTGANSampler", **(sampler_config or {})}
    _write(
        folder,
        {
            "config.json": b"{}",
            "sampler/config.json": json.dumps(sampler_config).encode(),
            "sampler/model.safetensors": _weights(),
            "assets/samples.png": png(0, 64),
        },
    )
    SCHEMA.save(folder / "schema.json")
    provenance.write_provenance(folder, {"versions": VERSIONS, "codec": CODEC, "sampler": SAMPLER})
    return folder


def seal(folder: Path) -> Path:
    """Lists the files that are there in provenance.json, as whoever makes a folder does at the end."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    facts = provenance.read_provenance(folder)
    facts["files"] = provenance.hash_files(folder, [name for name in names if name != PROVENANCE])
    provenance.write_provenance(folder, facts)
    return folder


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _weights() -> bytes:
    from safetensors.numpy import save

    return save({"weight": np.arange(64, dtype=np.float32)})
