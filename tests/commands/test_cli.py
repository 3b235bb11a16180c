"""The command line: exit codes, one line for a user's mistake, no traceback, no private cell."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hf_hybrid.commands import cli
from hf_hybrid.core.errors import InputError, PushRefused
from hf_hybrid.core.report import PARTS
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.models.options import CodecOptions
from hf_hybrid.samplers.registry import SAMPLERS, sampler_class


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
        (
            ["generate", "--pipeline=x", "--output_dir=y", "--num_records=0"],
            "error: expected `num_records` of at .* 0",
        ),
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


PUSH = ["folder", "--repo_id", "a/b"]
EVALUATE = ["release", "--train=a", "--test=b"]


@pytest.mark.parametrize(
    "words, expected",
    [
        ([], (False, None)),
        (["--dry_run"], (True, None)),
        (["--dry-run"], (True, None)),
        (["--dry_run", "true"], (True, None)),
        (["--dry-run=True"], (True, None)),
        (["--dry_run", "false"], (False, None)),
        (["--dry_run=false"], (False, None)),
        (["--gated"], (False, True)),
        (["--gated", "--dry_run"], (True, True)),
        (["--gated", "false"], (False, False)),
        (["--gated=false", "--dry-run"], (True, False)),
        (["--gated", "null"], (False, None)),
    ],
)
def test_a_flag_may_be_bare_or_have_a_value(words, expected):
    for argv in ([*PUSH, *words], [*words, *PUSH], [*PUSH[1:], *words, "folder"]):
        options = cli.parse("push", argv)
        assert (options.dry_run, options.gated) == expected, argv
        assert (options.folder, options.repo_id, options.public) == ("folder", "a/b", False)


def test_a_flag_takes_no_other_value():
    for words in (["--dry_run=many"], ["--dry_run", "many"]):  # the second is a positional word too many
        with pytest.raises(InputError, match="many"):
            cli.parse("push", [*PUSH, *words])


def test_an_underscore_may_be_a_dash_in_any_flag():
    said = cli.parse("push", ["folder", "--repo-id=a/b", "--accept-risk=no other way"])
    assert (said.repo_id, said.accept_risk) == ("a/b", "no other way")
    for flag in ("attribute_inference", "attribute-inference"):
        for words in ([f"--privacy.{flag}", "0.1"], [f"--privacy.{flag}=0.1"]):
            assert cli.parse("evaluate", [*EVALUATE, *words]).privacy.attribute_inference == 0.1


def test_flags_are_not_abbreviated():
    with pytest.raises(InputError, match="unrecognized arguments: --repo a/b"):
        cli.parse("push", ["folder", "--repo_id", "a/b", "--repo", "a/b"])


@pytest.mark.parametrize("words", [["a, b"], ["a,b"], ["[a,b]"], ['["a", "b"]'], ["[a, b]"]])
def test_a_list_is_typed_with_commas(words):
    for argv in (["data", "--targets", *words], [f"--targets={words[0]}", "data"]):
        assert cli.parse("inspect", argv).targets == ["a", "b"]
    assert type(cli.parse("inspect", ["data", "--targets", *words]).targets) is list


def test_a_list_of_one_and_none():
    assert cli.parse("inspect", ["data", "--targets", "outcome"]).targets == ["outcome"]
    assert cli.parse("inspect", ["data", "--targets", "3"]).targets == ["3"]
    assert cli.parse("inspect", ["data"]).targets is None
    assert cli.parse("evaluate", [*EVALUATE, "--parts", "utility,privacy"]).parts == ["utility", "privacy"]
    with pytest.raises(InputError, match=r"expected names as a,b or \[a,b\], found \[1, 2\]"):
        cli.parse("inspect", ["data", "--targets", "[1,2]"])


def test_files_are_several_words():
    for argv in (["release", "--score", "a.csv", "b,c.csv"], ["release", "--score", "a.csv", "b,c.csv", "--seed=1"]):
        assert cli.parse("reader-study", argv).score == [Path("a.csv"), Path("b,c.csv")]
    assert cli.parse("reader-study", ["release", "--score=a.csv"]).score == [Path("a.csv")]


def test_a_flag_may_stand_before_the_positional_words():
    assert cli.parse("push", ["--dry_run", "folder", "--repo_id", "a/b"]).folder == "folder"
    divided = cli.parse("split", ["--test", "0.2", "data", "--seed=1", "out"])
    assert (divided.dataset, divided.output_dir, divided.test, divided.seed) == ("data", "out", 0.2, 1)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_words_without_a_flag_are_named_by_the_command_and_explained(name):
    command = importlib.import_module(f"hf_hybrid.commands.{name.replace('-', '_')}")
    actions = {action.dest: action for action in cli.make_parser(name)._actions if not action.option_strings}

    assert tuple(actions) == getattr(command, "POSITIONAL", ())
    assert all(action.help for action in actions.values())


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "options.yaml"
    path.write_text(
        "targets: [age, outcome]\nsplit: {seed: 3}\npublic_cohort: {seed: 7}\n"
        "sampler: {ctgan: {pac: 5, generator_dim: [8]}}\nevaluation: {parts: [utility]}\n"
    )
    return str(path)


def test_a_file_gives_the_options_and_flags_override_it(config):
    flags = ["--split.seed", "4", "--sampler.ctgan.max-train-steps=9"]
    for argv in ([config, *flags], [*flags, config], ["--config", config, *flags], [*flags, f"--config={config}"]):
        options = cli.parse("run", argv)
        assert options.split.seed == 4 and options.sampler.ctgan.max_train_steps == 9
        assert options.targets == ["age", "outcome"] and options.evaluation.parts == ["utility"]
        assert (options.sampler.ctgan.pac, options.sampler.ctgan.generator_dim) == (5, (8,))
        assert (options.public_cohort.num_records, options.public_cohort.seed) == (2000, 7)
        assert options.codec == CodecOptions()
    assert cli.parse("run", [config, "--public_cohort.seed=8"]).public_cohort.num_records == 2000
    assert cli.parse("run", [config, "--targets=age"]).targets == ["age"]
    assert cli.parse("benchmark", ["--seeds", "1", config_without_evaluation(config)]).split.validation == 0.15


def config_without_evaluation(config):
    lines = Path(config).read_text().splitlines()
    shorter = Path(config).with_name("shorter.yaml")
    shorter.write_text("\n".join(line for line in lines if "evaluation" not in line))
    return str(shorter)


@pytest.mark.parametrize(
    "text, message",
    [
        ("splitt: {seed: 3}", "splitt.* is not accepted; `hf-hybrid run --help` shows the options"),
        ("split: {sed: 3}", "'split' does not accept option 'sed'"),
        ("split: {seed: many}", "split.seed.*many"),
        ("targets: [1, 2]", "targets.*expected names"),
        ("config: other.yaml", "Option 'config' is not accepted in a file"),
        ("[a, b]", "Unexpected config"),
        ("a: [", "Problems parsing config"),
    ],
)
def test_a_mistake_in_a_file_is_told_in_one_line(tmp_path, capsys, text, message):
    import re

    (tmp_path / "wrong.yaml").write_text(text)
    code, _, err = run(capsys, "run", tmp_path / "wrong.yaml")

    assert code == 2 and err.count("\n") == 1
    assert re.search(message, err), err


def test_the_options_of_a_run_are_printed_as_a_file(config, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", config, "--split.seed=9", "--print_config"])
    shown = yaml.safe_load(capsys.readouterr().out)

    assert not ended.value.code
    assert shown["split"] == {"test": 0.25, "validation": 0.0, "seed": 9} and shown["targets"] == ["age", "outcome"]
    again = Path(config).with_name("again.yaml")
    again.write_text(yaml.safe_dump(shown))
    assert cli.parse("run", [str(again)]) == cli.parse("run", [config, "--split.seed=9"])


def test_an_option_that_only_a_release_has_is_known_to_be_given():
    assert cli.parse("evaluate", EVALUATE).scoring() == EvaluationOptions()
    given = cli.parse("evaluate", [*EVALUATE, "--seeds", str(EvaluationOptions().seeds), "--bootstraps=7"])

    assert given.seeds == EvaluationOptions().seeds and given.scoring() == EvaluationOptions(bootstraps=7)
    with pytest.raises(InputError, match="expected `seeds` for a release only: leave it out"):
        given.check_model()
    with pytest.raises(InputError, match="expected `image_model` among .*, found 'resnet'"):
        cli.parse("evaluate", [*EVALUATE, "--image_model=resnet"])


def test_the_help_of_evaluate_tells_the_defaults_of_a_release():
    text = " ".join(cli.make_parser("evaluate").format_help().split())

    assert EvaluationOptions() == EvaluationOptions(
        seeds=3, image_model="auto", extractor=None, reader_steps=250, parts=[*PARTS]
    )
    for told in (
        "network); 3 by default",
        "the other beside it; the default)",
        'chest radiographs, else "random"',
        "250 by default, 0 for texture statistics alone",
        "all by default",
    ):
        assert told in text


def test_every_sampler_gets_its_options():
    argv = ["--codec=c", "--dataset=d", "--output_dir=o", "--copula.shrinkage=0.5", "--smote.num-neighbours=2"]
    options = cli.parse(
        "fit", [*argv, "--ctgan.pac=5", "--ctgan.generator_dim=[8,9]", "--diffusion.table_first=false"]
    )
    named = {name: options.named(name) for name in SAMPLERS}

    assert {name: type(sampler) for name, sampler in named.items()} == {name: sampler_class(name) for name in SAMPLERS}
    assert named["copula"].shrinkage == named["independent"].shrinkage == 0.5
    assert (named["ctgan"].pac, named["ctgan"].generator_dim) == (5, (8, 9))
    assert named["diffusion"].table_first is False and named["smote"].num_neighbours == 2
    assert type(options.chosen) is sampler_class("copula")


HEAVY = "torch datasets sklearn scipy pandas ctgan diffusers accelerate transformers".split()


def test_no_parser_waits_for_a_heavy_import():
    code = (
        "import sys; from hf_hybrid.commands import cli; [cli.make_parser(name) for name in cli.COMMANDS]\n"
        "cli.parse('run', ['--print_config=false', '--config', sys.argv[1]])\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    empty = Path(__file__).parents[2] / "scripts" / "configs" / "demo.yaml"
    done = subprocess.run([sys.executable, "-c", code, empty], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_names_commands_and_flags(shell, capsys, tmp_path):
    code, script, _ = run(capsys, "--completion", shell)
    (tmp_path / "script").write_text(script)

    assert code == 0
    assert [name for name in cli.COMMANDS if name not in script] == []
    for flag in ("--dry_run", "--sampler.ctgan.max_train_steps", "--privacy.copies", "--completion", "--config"):
        assert flag in script
    if shutil.which(shell):
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def test_the_completion_of_bash_completes(tmp_path):
    """What bash offers for a command that was begun, and for its flags."""
    (tmp_path / "script").write_text(cli.completion_script("bash"))
    ask = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()\n'
        '$(complete -p hf-hybrid | sed "s/.*-F \\([^ ]*\\).*/\\1/") hf-hybrid "${@: -1}"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )

    def offered(*words):
        command = ["bash", "-c", ask, tmp_path / "script", "hf-hybrid", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert offered("pu") == ["push"]
    assert offered("push", "--dry") == ["--dry_run"]
    assert offered("fit", "--sam") == ["--sampler"]


def test_another_shell_has_no_completion(capsys):
    code, _, err = run(capsys, "--completion", "fish")

    assert code == 2 and err.startswith("error: argument --completion: invalid choice: 'fish'")


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


@pytest.mark.parametrize("module", ["hf_hybrid", "hf_hybrid.commands.cli"])
def test_it_runs_as_a_module(module):
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True)

    assert done.returncode == 0 and done.stdout.startswith("hf-hybrid ")
