"""The command line: exit codes, one line for a user's mistake, no traceback, no private cell."""

import subprocess
import sys

import pytest

from hf_hybrid.commands import cli
from hf_hybrid.core.errors import PushRefused


def run(capsys, *argv):
    code = cli.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_lists_every_command(capsys):
    code, out, _ = run(capsys, "--help")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")] == list(cli.COMMANDS)


def test_no_command_shows_the_help_and_is_a_mistake(capsys):
    code, out, _ = run(capsys)

    assert code == 2 and out.startswith("usage: hf-hybrid COMMAND")


def test_the_version(capsys):
    from hf_hybrid import __version__

    assert run(capsys, "--version")[1] == f"hf-hybrid {__version__}\n"


@pytest.mark.parametrize(
    "argv, message",
    [
        (["fitt"], "error: expected a command among inspect, split, phantom, .*, found 'fitt'"),
        (["inspect"], "error: .*dataset.*; `hf-hybrid inspect --help` shows the options"),
        (["inspect", "no-such-folder/here"], "error: expected .*, found .*no-such-folder/here.*"),
        (["phantom", "OUT", "--num_records", "many"], "error: .*many.*; `hf-hybrid phantom --help` shows .*"),
        (["phantom", "OUT", "--resolution", "16"], "error: expected `resolution` from 32 to 512, found 16"),
        (["train-codec", "--dataset", "x"], "error: .*output_dir.*; `hf-hybrid train-codec --help` shows the options"),
        (["run"], "error: expected a YAML file, found none: hf-hybrid run CONFIG.yaml"),
        (["run", "no.yaml"], "error: .*no.yaml.*"),
        (["push", "OUT", "--repo_id", "me/mine", "--dry_run"], "error: expected the folder of a codec, .*"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, argv, message):
    import re

    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *argv)

    assert code == 2, err
    assert re.fullmatch(message + "\n", err), err
    assert list(tmp_path.iterdir()) == []


def test_flags_and_lists_are_read_as_people_type_them():
    from hf_hybrid.commands import evaluate, inspect, push

    pushed = cli._parse("push", push, ["folder", "--repo_id", "a/b", "--dry_run", "--public", "--gated"])
    assert (pushed.folder, pushed.dry_run, pushed.public, pushed.gated) == ("folder", True, True, True)
    assert cli._parse("push", push, ["folder", "--repo_id", "a/b", "--gated", "false"]).gated is False
    assert cli._parse("push", push, ["folder", "--repo_id", "a/b"]).gated is None
    said = cli._parse("push", push, ["folder", "--repo-id=a/b", "--accept-risk=no other way", "--dry-run"])
    assert (said.repo_id, said.accept_risk, said.dry_run) == ("a/b", "no other way", True)
    attacked = [
        "release",
        "--train=a",
        "--test=b",
        "--privacy.attribute-inference",
        "0.1",
        "--parts",
        "utility,privacy",
    ]
    attacked = cli._parse("evaluate", evaluate, attacked)
    assert attacked.privacy.attribute_inference == 0.1 and attacked.parts == ["utility", "privacy"]
    for argv in (["data", "--targets", "age, outcome"], ["data", "--targets=age,outcome"]):
        assert cli._parse("inspect", inspect, argv).targets == ["age", "outcome"]


def test_a_flag_may_stand_before_the_positional_words():
    from hf_hybrid.commands import push

    assert cli._parse("push", push, ["--dry_run", "folder", "--repo_id", "a/b"]).folder == "folder"


def test_conditions_are_read_and_mistakes_in_them_refused():
    from hf_hybrid.commands.generate import parse_conditions
    from hf_hybrid.core.errors import InputError
    from hf_hybrid.data.columns import ColumnSchema
    from hf_hybrid.data.schema import RecordSchema

    schema = RecordSchema(
        {
            "age": ColumnSchema("clinical", "integer"),
            "icu": ColumnSchema("clinical", "boolean"),
            "sex": ColumnSchema("clinical", "categorical", categories=["F", "M"]),
        }
    )

    assert parse_conditions("age=60..80, icu=yes,sex=F", schema) == {"age": (60.0, 80.0), "icu": True, "sex": "F"}
    assert parse_conditions("icu=missing", schema) == {"icu": None}
    for text in ("icu=ja", "age=old", "ward=3", "sex"):
        with pytest.raises(InputError, match="expected"):
            parse_conditions(text, schema)


def test_several_processes_are_refused_but_for_the_codec(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")

    assert run(capsys, "fit", "--codec", "x")[::2] == (
        2,
        "error: expected one process for fit, found several: only train-codec shares its work\n",
    )


def test_a_refused_push_is_exit_code_3(capsys, monkeypatch):
    def refuse(options):
        raise PushRefused("it holds private rows")

    monkeypatch.setattr("hf_hybrid.commands.push.main", refuse)

    assert run(capsys, "push", "x", "--repo_id", "a/b") == (3, "", "error: push refused: it holds private rows\n")


def test_an_unforeseen_error_tells_its_place_and_no_cell(capsys, monkeypatch):
    def break_down(options):
        raise KeyError("Doe, John, 1951-02-03")

    monkeypatch.setattr("hf_hybrid.commands.phantom.main", break_down)
    code, _, err = run(capsys, "phantom", "x")

    assert code == 1
    assert err.startswith("error: KeyError at ") and "HF_HYBRID_DEBUG=1" in err
    assert "Doe" not in err and "Traceback" not in err


def test_with_debugging_the_traceback_is_shown(monkeypatch):
    def break_down(options):
        raise KeyError("a cell")

    monkeypatch.setattr("hf_hybrid.commands.phantom.main", break_down)
    monkeypatch.setenv("HF_HYBRID_DEBUG", "1")

    with pytest.raises(KeyError, match="a cell"):
        cli.main(["phantom", "x"])


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "hf_hybrid.commands.cli", "--version"], capture_output=True, text=True
    )

    assert done.returncode == 0 and done.stdout.startswith("hf-hybrid ")
