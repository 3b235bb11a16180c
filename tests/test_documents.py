"""The code in the README runs, in its order, on tiny records and against the loopback Hub."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from reader_answers import answers
from tiny import RESOLUTION, messy_table, write_image_folder
from tiny_run import TINY

from hf_hybrid.commands import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python|yaml)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
CODEC = [f"--{key}={value}" for key, value in TINY["codec"].items()]
SAMPLER = [f"{key}={value}".replace("[", "[").replace(" ", "") for key, value in TINY["sampler"]["ctgan"].items()]
TINY_OPTIONS = {
    "run": [f"--codec.{one[2:]}" for one in CODEC]
    + [f"--sampler.ctgan.{one}" for one in SAMPLER]
    + ["--evaluation.seeds=1", "--evaluation.bootstraps=100"],
    "train-codec": CODEC,
}


def run_bash(block):
    """Runs the commands of a block in this process, large ones with tiny budgets."""
    for line in block.strip().splitlines():
        words = shlex.split(line, comments=True)
        if words[0] == "accelerate":
            assert (ROOT / words[2]).is_file()
            words = ["hf-hybrid", "train-codec", *words[3:]]
        assert words[0] == "hf-hybrid", line
        if "--score" in words:
            answers(Path("runs/mine/release-private"), Path("reader-study-ab.csv"), "ab", np.ones(10, bool))
            words[-1:] = map(str, Path().glob(words[-1]))
        if "--real" in words:
            words += ["--num_images", "10"]
        if "--public" in words:  # what so few patients leave open
            words += ["--accept-risk", "made-up patients"]
        assert cli.main([*words[1:], *TINY_OPTIONS.get(words[1], [])]) == 0, line


@pytest.mark.slow
@pytest.mark.usefixtures("small_evidence")
def test_the_code_of_the_readme_runs(hub, tmp_path, monkeypatch):
    write_image_folder(tmp_path / "records", messy_table(160).replace({"only-one-patient-has-this": "deceased"}))
    from hf_hybrid.phantom.cohort import write_phantom

    write_phantom(tmp_path / "public_images", num_records=40, resolution=RESOLUTION, images_only=True)
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    monkeypatch.chdir(tmp_path)
    names = {}
    for language, block in BLOCKS:
        block = block.replace("your-org/", "owner/readme-").replace("--resolution 64", "")
        block = block.replace("max_train_steps=2000", "max_train_steps=20")
        if language == "bash":
            run_bash(block)
        elif language == "python":
            exec(compile(block, "README.md", "exec"), names)

    assert len(names["dataset"]) == 100
    assert not hub.repo("owner/readme-synthetic-cxr", "dataset").private
    assert hub.repo("owner/readme-cxr-hybrid").private


def test_the_schema_of_the_readme_is_read():
    import pandas as pd
    import yaml

    from hf_hybrid.data.schema import RecordSchema

    (block,) = (block for language, block in BLOCKS if language == "yaml")
    raw = pd.DataFrame({"outcome": ["discharged", "not visible"], "age": ["30", "40"], "ward": ["a", "b"]})
    schema = RecordSchema.infer(raw, "image", yaml.safe_load(block))

    assert schema.targets == ["outcome"]
    assert schema.columns["age"].bounds == (18, 90)
    assert list(schema.read(raw)[0]["outcome"]) == ["discharged", None]


def test_every_picture_of_the_readme_is_there():
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)

    assert pictures and [picture for picture in pictures if not (ROOT / picture).is_file()] == []


def test_the_readme_has_no_placeholder():
    assert not re.search(r"^[A-Z]+_?[A-Z]+$", README, re.MULTILINE)
