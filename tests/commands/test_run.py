"""`hf-hybrid run`: everything once, nothing twice, and the same bytes after a kill at any stage."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tiny import builtin_codec
from tiny_run import TINY

from hf_hybrid.commands import cli
from hf_hybrid.models.alphagan_trainer import AlphaGANTrainer
from hf_hybrid.samplers.ctgan import CTGANSampler
from hf_hybrid.synthesis.pipeline import HybridPipeline

SMALL_COHORT = {"num_records": 40, "resolution": 32}
pytestmark = pytest.mark.usefixtures("small_evidence_of_a_module")


class Killed(BaseException):
    pass


def write_config(folder, **changes):
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return path


def run(config, output_dir, *options):
    return cli.main(["run", str(config), "--output_dir", str(output_dir), *options])


def made(folder):
    """Every byte of what is handed on."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in ("codec", "pipeline", "release")
        for path in (folder / part).rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_evidence_of_a_module):
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("run")
    assert run(write_config(folder), folder / "whole") == 0
    return folder / "whole"


def test_the_setting_of_kikuchi_2024_runs_with_the_codec_of_the_package(tmp_path):
    """Its sampler, CTGAN, with few records and steps, on the codec that comes with the package."""
    from datasets import load_dataset

    path = Path(__file__).parents[2] / "scripts" / "configs" / "kikuchi2024.yaml"
    kept = yaml.safe_load(path.read_text())
    few = {
        "pretrained_codec": "builtin:radiographs",
        "allow_other_images": True,
        "cohort": TINY["cohort"] | {"num_records": 80},
    }
    del kept["codec"]
    few["sampler"] = {"sampler": "ctgan", "ctgan": TINY["sampler"]["ctgan"]}
    few["evaluation"] = {**TINY["evaluation"], "image_model": "linear"}
    few["release"] = {**kept["release"], "license": "apache-2.0", "multiple": 1}
    (tmp_path / "kikuchi.yaml").write_text(yaml.safe_dump({**kept, **few}))

    assert run(tmp_path / "kikuchi.yaml", tmp_path / "made") == 0
    facts = json.loads((tmp_path / "made" / "release" / "provenance.json").read_text())
    assert facts["sampler"]["class"] == "CTGANSampler" and facts["codec"]["builtin"]["name"] == "builtin:radiographs"
    made = str(tmp_path / "made" / "release")
    images = load_dataset(made, split="train", cache_dir=str(tmp_path / "cache"))["image"]
    assert images[0].size == (128, 128)


def test_what_a_run_leaves(whole):
    assert sorted(path.name for path in whole.iterdir()) == ["codec", "logs", "pipeline", "release", "release-private"]
    for private in ("logs", "release-private"):
        assert (whole / private).stat().st_mode & 0o777 == 0o700
    private = {path.name for path in (whole / "release-private").iterdir()}
    assert private == {"cache", "real.png", "reconstructions.png", "report.html"}
    assert sorted(path.name for path in (whole / "codec").iterdir()) == [
        "README.md",
        "assets",
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "provenance.json",
    ]
    assert {"report.json", "report.html", "README.md"} <= {path.name for path in (whole / "release").iterdir()}


def test_no_path_of_this_machine_is_handed_on(whole):
    assert [name for name, data in made(whole).items() if str(whole).encode() in data or b"/home" in data] == []


def test_the_release_loads_and_has_the_size_asked_for(whole, tmp_path):
    from datasets import load_dataset

    from hf_hybrid.data.records import load_records
    from hf_hybrid.data.schema import RecordSchema
    from hf_hybrid.synthesis.latent_table import expressible_records

    release = load_dataset(str(whole / "release"), split="train", cache_dir=str(tmp_path))
    schema = RecordSchema.load(whole / "release" / "schema.json")
    train = load_records(f"{whole / 'logs' / 'records'}:train", schema)

    assert (len(train), len(expressible_records(train, schema))) == (92, 79)  # some hold an answer that few share
    assert len(release) == 2 * 79


def test_the_report_measures_the_targets_of_the_cohort(whole):
    report = json.loads((whole / "release" / "report.json").read_text())

    assert {score["target"] for score in report["utility"]["scores"]} == {"outcome", "age"}
    assert {score["inputs"] for score in report["utility"]["scores"]} == {"image", "other", "table", "both"}


def test_a_second_run_makes_nothing(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "again")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "again").rglob("*") if path.is_file()}
    monkeypatch.setattr(AlphaGANTrainer, "__init__", None)  # whatever would be made again would break
    monkeypatch.setattr(CTGANSampler, "fit", None)
    monkeypatch.setattr(HybridPipeline, "blocks", None)

    assert run(write_config(tmp_path), tmp_path / "again") == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def after(function, calls):
    """`function`, killed at its call number `calls`."""
    count = []

    def dying(*arguments, **options):
        count.append(1)
        if len(count) == calls:
            raise Killed
        return function(*arguments, **options)

    return dying


KILLED_IN = (  # stage, what is called there, and at which call
    ("cohort", "hf_hybrid.phantom.cohort.draw_phantom", 50),
    ("split", "hf_hybrid.data.records.image_bytes", 60),
    ("public", "hf_hybrid.phantom.cohort.draw_phantom", 20),
    ("codec", "hf_hybrid.models.alphagan_trainer.AlphaGANTrainer.train_step", 4),
    ("codec", "hf_hybrid.reports.cards.codec_card", 1),
    ("latents", "hf_hybrid.models.alphagan.AlphaGAN.encode", 2),
    ("pipeline", "hf_hybrid.samplers.ctgan.CTGANSampler._critic_loss", 4),
    ("pipeline", "hf_hybrid.reports.cards.pipeline_card", 1),
    ("release", "hf_hybrid.synthesis.pipeline.encode_png", 98),  # in the second block
    ("release", "hf_hybrid.reports.cards.release_card", 1),
    ("attacks", "hf_hybrid.evaluation.model_attacks.encode_rows", 1),
    ("evaluation", "hf_hybrid.evaluation.publication.draw_charts", 1),
    ("evaluation", "hf_hybrid.reports.cards.release_card", 1),  # the completed card
)


def test_a_run_killed_in_every_stage_ends_in_the_same_bytes(whole, tmp_path, monkeypatch, caplog):
    """One run that is killed in one stage after the other, each time further on, and resumed each time."""
    config, killed_in = write_config(tmp_path), []
    for _, where, calls in KILLED_IN:
        caplog.clear()
        with monkeypatch.context() as patch:
            patch.setattr(where, after(_resolve(where), calls))
            with pytest.raises(Killed):
                run(config, tmp_path / "killed")
        killed_in.append([line for line in caplog.messages if line.endswith(": begins")][-1].removesuffix(": begins"))

    assert killed_in == [stage for stage, *_ in KILLED_IN]
    assert run(config, tmp_path / "killed") == 0
    assert made(tmp_path / "killed") == made(whole)


def _resolve(where):
    import importlib

    parts = where.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AssertionError(where)


@pytest.mark.slow
def test_a_process_that_is_really_killed_ends_in_the_same_bytes(whole, tmp_path):
    """SIGKILL after the first checkpoint of the codec, then the same command again."""
    config, output = write_config(tmp_path), shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(output / "codec")
    shutil.rmtree(output / "logs" / "codec")
    command = [sys.executable, "-m", "hf_hybrid.commands.cli", "run", str(config), "--output_dir", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(output.glob("logs/codec/checkpoint-?")) and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (output / "codec").exists()

    assert run(config, output) == 0
    assert made(output) == made(whole)


def test_a_changed_option_makes_what_depends_on_it_again_and_loses_nothing(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    before = made(tmp_path / "run")

    assert run(write_config(tmp_path), tmp_path / "run", "--release.seed", "5") == 0
    now = made(tmp_path / "run")
    changed = {name for name in before if now[name] != before[name]}
    assert "release/data/train-00000-of-00001.parquet" in changed
    assert not [name for name in changed if not name.startswith("release/")]
    kept = list((tmp_path / "run" / "logs" / "replaced").glob("release-*/release/data/*.parquet"))
    assert [path.read_bytes() for path in kept] == [before["release/data/train-00000-of-00001.parquet"]]


def test_a_release_that_was_deleted_is_drawn_and_evaluated_again(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "release")

    assert run(write_config(tmp_path), tmp_path / "run") == 0
    assert made(tmp_path / "run") == made(whole)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--targets", "outcom"], "expected `targets` among"),
        (["--sampler.ctgan.temperature", "0"], "expected `temperature` above 0, found 0"),
        (["--codec.lr_scheduler", "cosin"], "expected `lr_scheduler` among"),
        (["--measurements", "no.csv"], "expected a CSV file as `measurements`, found none at no.csv"),
    ],
)
def test_a_mistake_is_found_before_anything_is_trained(tmp_path, capsys, options, message):
    assert run(write_config(tmp_path, cohort=SMALL_COHORT), tmp_path / "run", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "logs" / "codec").exists()


@pytest.mark.parametrize("spelling", ["", ":train", "/data"])
def test_private_images_as_public_ones_must_be_meant(tmp_path, whole, capsys, spelling):
    records = str(whole / "logs" / "records")
    config = write_config(tmp_path, dataset=records, public_dataset=records + spelling)

    assert run(config, tmp_path / "run") == 2
    assert "expected a `public_dataset` of other images, found the private ones" in capsys.readouterr().err


def test_private_and_public_cohort_must_differ(tmp_path, capsys):
    config = write_config(tmp_path, cohort=SMALL_COHORT, public_cohort={"num_records": 40, "seed": 0})

    assert run(config, tmp_path / "run") == 2
    assert "expected another `seed` for public_cohort than for cohort" in capsys.readouterr().err


def test_private_records_need_public_images_or_a_codec(tmp_path, whole, capsys):
    config = write_config(tmp_path, dataset=str(whole / "logs" / "records"))

    assert run(config, tmp_path / "run") == 2
    assert "expected `public_dataset` (images of the same kind" in capsys.readouterr().err


def test_a_codec_of_the_package_needs_no_public_images_and_what_it_makes_can_be_pushed(
    whole, tmp_path, monkeypatch, capsys
):
    codec = builtin_codec(tmp_path, monkeypatch)
    # Not on the whole cohort: a limit as loose as this lets 40 patients pass.
    evidence = {"parts": ["privacy"], "bootstraps": 100, "privacy": {"membership_above_chance": 0.9}}
    config = write_config(
        tmp_path,
        dataset=str(whole / "logs" / "records"),
        pretrained_codec="builtin:spots",
        evaluation={**TINY["evaluation"], **evidence},
    )

    assert run(config, tmp_path / "run") == 0
    assert not (tmp_path / "run" / "codec").exists()
    weights = "diffusion_pytorch_model.safetensors"
    for made_of_it in ("release", "pipeline"):
        facts = json.loads((tmp_path / "run" / made_of_it / "provenance.json").read_text())["codec"]
        sha256 = hashlib.sha256((codec / weights).read_bytes()).hexdigest()
        assert facts["builtin"] == {"name": "builtin:spots", "sha256": sha256}
    handed_on = made(tmp_path / "run")
    assert handed_on[f"pipeline/codec/{weights}"] == (codec / weights).read_bytes()
    assert [name for name, data in handed_on.items() if str(tmp_path).encode() in data] == []
    capsys.readouterr()
    assert cli.main(["push", str(tmp_path / "run" / "pipeline"), "--repo_id", "me/mine", "--dry_run"]) == 0
    assert f"would send codec/{weights}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "benchmark"])
def test_an_unknown_codec_of_the_package_is_refused_at_once(tmp_path, capsys, command):
    argv = [command, "--config", str(tmp_path / "c.yaml"), "--output_dir", str(tmp_path / "run")]
    (tmp_path / "c.yaml").write_text("pretrained_codec: builtin:lungs")

    assert cli.main(argv) == 2
    assert "expected a codec of the package (" in capsys.readouterr().err
    assert list((tmp_path / "run" / "logs").iterdir()) == []


def test_no_targets_is_not_measured(tmp_path, whole):
    schema = {"columns": {"outcome": {"role": "clinical"}, "age": {"role": "clinical"}}}
    config = write_config(
        tmp_path,
        dataset=str(whole / "logs" / "cohort-images"),
        schema=schema,
        measurements=str(whole / "logs" / "cohort-images" / "truth.csv"),
        evaluation={**TINY["evaluation"], "parts": ["utility", "pairing"]},
        pretrained_codec=str(whole / "codec"),
        public_dataset=None,
    )

    assert run(config, tmp_path / "run") == 0
    report = json.loads((tmp_path / "run" / "release" / "report.json").read_text())
    assert report["utility"]["status"] == "not measured"
    assert report["pairing"]["measurements"][0]["name"] == "trends with measurements"
    assert not (tmp_path / "run" / "codec").exists()


def test_commands_that_handle_private_data_try_no_address_at_all(whole, tmp_path, refused_hosts, monkeypatch, capsys):
    """Not even loopback: the stages by the single commands and the gate of a release, with every socket refused."""
    import socket

    def refuse(*arguments, **options):
        raise AssertionError(f"an address was tried: {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    codec, cohort, split = (str(tmp_path / name) for name in ("codec", "cohort", "split"))
    pipeline = str(tmp_path / "pipeline")
    shape = [f"--{key}={value}" for key, value in TINY["codec"].items()]
    sizes = [f"--ctgan.{key}={value}" for key, value in TINY["sampler"]["ctgan"].items()]
    for argv in (
        ["phantom", cohort, "--num_records", "80", "--resolution", "32"],
        ["inspect", cohort, "--targets", "outcome"],
        ["split", cohort, split],
        ["train-codec", "--dataset", cohort, "--output_dir", codec, *shape],
        ["fit", "--codec", codec, "--dataset", split, "--output_dir", pipeline, "--targets", "outcome,age", *sizes],
        ["generate", "--pipeline", pipeline, "--num_records", "70", "--output_dir", str(tmp_path / "drawn")],
    ):
        assert cli.main(argv) == 0, argv
    release, records = shutil.copytree(whole / "release", tmp_path / "release"), whole / "logs" / "records"
    push = ["push", str(release), "--repo_id", "me/mine", "--dry_run"]
    capsys.readouterr()
    assert cli.main(push) == 3
    assert "in which privacy was measured, found none" in capsys.readouterr().err
    sides = [f"--train={records}:train", f"--test={records}:test"]
    assert cli.main(["evaluate", str(release), *sides, "--seeds=1", "--bootstraps=100", "--reader_steps=2"]) == 0
    assert json.loads((release / "report.json").read_text())["utility"]["status"] == "measured"
    assert cli.main(push) == 0
    assert "would send data/train-00000-of-00001.parquet" in capsys.readouterr().out
    assert refused_hosts == []
