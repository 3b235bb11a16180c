"""Every script starts; every configuration is read; the preparation of the real data works on a clone's layout."""

import configparser
import contextlib
import io
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from hf_hybrid.commands import cli

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
COMMANDS = [path for path in SCRIPTS if "__main__" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("script", COMMANDS, ids=lambda path: path.name)
def test_a_script_shows_its_options(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.syspath_prepend(script.parent)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert not ended.value.code and "usage:" in capsys.readouterr().out


def test_every_folder_of_the_package_is_installed():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "hf_hybrid").rglob("__init__.py")}

    assert set(settings["options"]["packages"].split()) == folders | {"hf_hybrid.templates"}


def test_no_script_bears_the_name_of_an_import():
    from importlib.machinery import PathFinder

    elsewhere = [path for path in sys.path if Path(path).resolve() != ROOT / "scripts"]

    assert [path.stem for path in SCRIPTS if PathFinder.find_spec(path.stem, elsewhere)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "scripts" / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_a_configuration_is_read(path):
    name = "benchmark" if path.stem.startswith("benchmark") else "run"
    options = cli.parse(name, [str(path), "--split.seed", "3"])

    assert options.output_dir == yaml.safe_load(path.read_text())["output_dir"]
    assert options.split.seed == 3


def test_the_start_of_every_command_is_timed(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.chdir(tmp_path)
    import startup_seconds

    assert list(startup_seconds.USAGE_ERRORS) == list(cli.COMMANDS)
    for name, words in startup_seconds.USAGE_ERRORS.items():
        assert cli.main([name, *words]) == 2, name
    assert startup_seconds.median_seconds([sys.executable, "-c", "import sys; sys.exit(2)"], 2, 1) > 0
    with pytest.raises(SystemExit, match="expected exit code 0 of"):
        startup_seconds.median_seconds([sys.executable, "-c", "import sys; sys.exit(2)"], 0, 1)


@pytest.mark.parametrize("path", sorted((ROOT / "scripts" / "accelerate").glob("*.yaml")), ids=lambda path: path.name)
def test_an_accelerate_configuration_is_known_to_accelerate(path):
    from accelerate.commands.config.config_args import load_config_from_file

    assert load_config_from_file(str(path)).mixed_precision == "bf16"


def make_clone(folder):
    (folder / "images").mkdir(parents=True)
    rows = []
    for index, (view, finding, modality, there) in enumerate(
        [
            ("PA", "Pneumonia/Viral/COVID-19", "X-ray", True),
            ("AP Supine", "COVID-19", "X-ray", True),
            ("AP", "No Finding", "X-ray", True),
            ("PA", "todo", "X-ray", True),
            ("PA", "Pneumonia/Bacterial", "X-ray", True),
            ("L", "COVID-19", "X-ray", True),
            ("Axial", "COVID-19", "CT", True),
            ("PA", "COVID-19", "X-ray", False),
            ("PA", "COVID-19", "X-ray", True),  # the first image again, of another patient: taken once
        ]
    ):
        name = f"image-{index}.png"
        if there:
            Image.fromarray(np.full((300, 400), 30 * (index % 8), dtype=np.uint8)).save(folder / "images" / name)
        rows.append({"patientid": index, "view": view, "finding": finding, "modality": modality, "filename": name})
    columns = "age sex survival intubated went_icu needed_supplemental_O2 offset temperature pO2_saturation"
    counts = "leukocyte_count neutrophil_count lymphocyte_count"
    table = pd.DataFrame(rows).assign(**dict.fromkeys(f"{columns} {counts}".split(), ""))
    table.to_csv(folder / "metadata.csv", index=False)
    return folder


def test_a_clone_becomes_an_image_folder(tmp_path):
    from hf_hybrid.data.records import load_records

    clone = make_clone(tmp_path / "clone")
    script = ROOT / "scripts" / "prepare_covid_cxr.py"
    done = subprocess.run([sys.executable, script, clone, tmp_path / "out"], capture_output=True, text=True)
    records = load_records(str(tmp_path / "out"))

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"5 frontal radiographs in {tmp_path / 'out'}\n"
    assert list(records.raw["finding"]) == ["covid19", "covid19", "no_finding", "", "other_pneumonia"]
    assert records.schema.group_column == "patient_id"
    assert records.pixel_values(256).shape == (5, 256, 256)


def test_a_folder_that_is_no_clone_is_refused(tmp_path):
    clone = make_clone(tmp_path / "clone")
    shutil.copy(ROOT / "setup.cfg", clone / "metadata.csv")
    script = ROOT / "scripts" / "prepare_covid_cxr.py"
    done = subprocess.run([sys.executable, script, clone, tmp_path / "out"], capture_output=True, text=True)

    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def result_tables(report):
    script = ROOT / "scripts" / "result_tables.py"
    return subprocess.run([sys.executable, script, report], capture_output=True, text=True)


def test_the_results_of_the_radiographs_are_those_of_their_report():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    done = result_tables(ROOT / "docs" / "results" / "covid_cxr_report.json")
    lines = [line for line in done.stdout.splitlines() if line]

    assert done.returncode == 0, done.stderr
    assert sum(line.startswith("### ") for line in lines) == 4 and len(lines) > 40
    assert [line for line in lines if line.startswith("|") and line not in page] == []


def test_a_report_without_all_parts_has_no_tables():
    done = result_tables(ROOT / "docs" / "results" / "covid_cxr_pipeline_report.json")

    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("error: expected a report of a release with all parts, found no utility")


def speed(*words):
    shown, script = io.StringIO(), ROOT / "scripts" / "speed.py"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", [str(script), *words])
        patch.syspath_prepend(script.parent)
        runpy.run_path(str(script), run_name="__main__")
    assert not ended.value.code
    return shown.getvalue()


@pytest.fixture
def speed_here(monkeypatch):
    """The script as a module; only `hf_hybrid` is measured in a process of its own, whose start takes seconds."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import speed as script

    own = script._in_a_process
    here = lambda *words: own(*words) if words[1] == "hf_hybrid" else json.loads(speed(*map(str, words)))  # noqa: E731
    monkeypatch.setattr(script, "_in_a_process", here)
    return script


def test_the_training_of_a_codec_is_timed_against_its_ceiling_and_a_textbook(tmp_path):
    words = "--resolutions [32] --batch_size 4 --warp 1 --repetitions 2 --seconds 0.01".split()
    shown = speed("codec", str(tmp_path / "codec.json"), *words)
    found = json.loads((tmp_path / "codec.json").read_text())

    assert json.loads(shown) == found and found["warp"] == 1 and set(found["32"]) == {"convolutions", "components"}
    for one in found["32"].values():
        rates = one["images_a_second"]
        assert list(rates) == ["loop", "ceiling", "ceiling, contiguous", "textbook", "input alone"]
        assert min(rates.values()) > 0
        assert one["of_ceiling"] == pytest.approx(rates["loop"] / rates["ceiling"], rel=0.01)
        assert one["times_textbook"] == pytest.approx(rates["loop"] / rates["textbook"], rel=0.02)
        assert 0 < one["waiting"] <= 1 and {len(runs) for runs in one["runs"].values()} == {2}


def test_the_ceiling_and_the_textbook_train_all_networks(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import speed_codec

    own, made = speed_codec._networks, []

    def networks(*args):
        made.append(own(*args))
        return made[-1]

    monkeypatch.setattr(speed_codec, "_networks", networks)
    monkeypatch.setattr(speed_codec, "_timed", lambda arms, *_: [step() for step in arms.values()])
    speed_codec.codec_speed(speed_codec.Setting(32, "components", 4, "no", 0.0), 1, 0.0)

    assert len(made) == 3
    for module in (module for one in made for module in one):
        still = [name for name, parameter in module.named_parameters() if parameter.grad is None]
        assert still == []


@pytest.mark.slow
def test_both_samplers_are_timed_side_by_side(speed_here, tmp_path, capsys):
    options = {"rows": 200, "latent_dims": [3], "updates": 2, "records": 50, "repetitions": 1}
    assert speed_here.table(tmp_path, **options) == 0
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "speed_table.json").read_text())["latents"]["3"]

    assert (tmp_path / "speed_table.md").read_text() == shown
    for key in ("fit_seconds", "sample_seconds", "forward_seconds", "memory_mb"):
        assert found["hf_hybrid"][key] > 0 and (found["ctgan"][key] > 0 or key == "memory_mb")
        assert found["times"][key] == round(found["ctgan"][key] / found["hf_hybrid"][key], 1)
    assert set(found["hf_hybrid"]["obeyed"].values()) == {1.0}
    assert speed_here.table(tmp_path, **options) == 0 and capsys.readouterr().out == shown
    assert json.loads((tmp_path / "speed_table.json").read_text())["latents"]["3"] == found


@pytest.mark.slow
def test_a_few_updates_of_ctgan_are_scaled_up(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import speed as script

    monkeypatch.setattr(script, "_in_a_process", lambda *words: json.loads(speed(*map(str, words))))
    assert script.table(tmp_path, 200, [3], updates=20, records=50, repetitions=1, ctgan_updates=2) == 0
    assert "Fit, 20 updates (ctgan.CTGAN: 2, scaled up), s" in (tmp_path / "speed_table.md").read_text()
    run = json.loads((tmp_path / "speed_table.json").read_text())["latents"]["3"]["runs"]["ctgan"][0]
    assert run["fit_seconds"] >= 9 * run["updates_seconds"] and not run["obeyed"]


@pytest.mark.slow
def test_cost_is_plotted(tmp_path):
    output = tmp_path / "new"
    words = "--rows [60,120] --latent_dims [2,4] --updates 1 --repetitions 1".split()
    speed("cost", "--output", str(output), *words)
    found = json.loads((output / "speed_cost.json").read_text())

    assert [one["rows"] for one in found["rows"]] == [60, 120]
    assert [one["latents"] for one in found["latents"]] == [2, 4]
    assert Image.open(output / "speed_cost.png").size[0] > 600


def test_rows_come_back_from_the_table_that_ctgan_learns(monkeypatch):
    """What ctgan is given holds every cell, and what it draws is read back as cells."""
    from tiny import made_up_rows

    monkeypatch.syspath_prepend(ROOT / "scripts")
    from speed_samplers import Stock

    table, schema = made_up_rows(100)
    stock = Stock(updates=1)
    stock.prepare(table, schema)
    monkeypatch.setattr(stock.model, "sample", lambda count: stock.table.head(count), raising=False)
    again = stock.sample(100)

    assert stock.discrete == ["crp state", "group"] and not stock.table.isna().any().any()
    np.testing.assert_array_equal(again.latents, table.latents)
    pd.testing.assert_frame_equal(again.frame, table.frame, check_dtype=False)


def test_packed_phantoms_are_different_people_with_their_findings(tmp_path):
    from hf_hybrid.models.public_images import PublicImages
    from hf_hybrid.phantom.cohort import public_seed, sample_cohort

    script = runpy.run_path(str(ROOT / "scripts" / "pack_phantoms.py"))
    script["main"](tmp_path / "phantoms.npz", num_images=24, resolution=48)
    images = PublicImages.load(tmp_path / "phantoms.npz")

    assert images.pixels.shape == (24, 48, 48) and len(np.unique(images.groups)) == 24
    assert set(images.sources) == {"phantoms"}
    table = sample_cohort(48, public_seed(14)).table.drop_duplicates("patient_id").set_index("patient_id")
    for name, labels in images.labels.items():
        assert labels.tolist() == table.loc[images.patients, "findings"].str.contains(name).astype(float).tolist()
    assert len(images.labels) == 5
