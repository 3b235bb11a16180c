"""The pages: their code runs, on tiny records and against the loopback Hub; what they link to and name is there."""

import functools
import importlib
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from reader_answers import answers
from tiny import RESOLUTION, messy_table, tiny_codec, write_image_folder
from tiny_run import TINY

from hf_hybrid.commands import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAME = re.compile(r"`(\w+(?:\.\w+)+)`")
SLOW = {"README", "evidence", "hub"}
CODEC = [f"--{key}={value}" for key, value in TINY["codec"].items()]
SAMPLER = [f"{key}={value}".replace(" ", "") for key, value in TINY["sampler"]["ctgan"].items()]
EVIDENCE = ["--bootstraps=100", "--seeds=1", "--reader_steps=2"]
TINY_OPTIONS = {
    "run": [f"--codec.{one[2:]}" for one in CODEC]
    + [f"--sampler.ctgan.{one}" for one in SAMPLER]
    + [f"--evaluation.{one[2:]}" for one in EVIDENCE],
    "train-codec": CODEC,
    "evaluate": EVIDENCE,
}
RUN_BY_THE_README = "scripts/configs/release.yaml"  # other runs and benchmarks take long: only their options are read


def text_of(page):
    return page.read_text(encoding="utf-8")


def blocks(page):
    return re.findall(r"^```(bash|python|yaml)\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE)


def run_line(line):
    """Runs one command in this process, large ones with tiny budgets; of costly ones it reads the options."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        return
    if words[0] == "python":
        read_options_of_script(words[1:])
        return
    if words[0] == "accelerate":
        assert (ROOT / words[2]).is_file()
        words = ["hf-hybrid", "train-codec", *words[3:]]
    assert words[0] == "hf-hybrid", line
    name, argv = words[1], words[2:]
    if name == "benchmark" or (name == "run" and argv[0] != RUN_BY_THE_README):
        cli.parse(name, argv)
        return
    assert cli.main([name, *with_tiny_options(name, argv)]) == 0, line


def with_tiny_options(name, argv):
    tiny = TINY_OPTIONS.get(name, [])
    if name == "evaluate" and (Path(argv[0]) / "sampler").exists():
        tiny = tiny[:1]  # attacks on files know no seeds
    if "--score" in argv:
        answers(Path("runs/mine/release-private"), Path("reader-study-ab.csv"), "ab", np.ones(10, bool))
        return [*argv[:-1], *map(str, Path().glob(argv[-1]))]
    if "--real" in argv:
        tiny = ["--num_images", "10"]
    if "--public" in argv:  # what so few patients leave open
        tiny = ["--accept-risk", "made-up patients"]
    return [*argv, *tiny]


def read_options_of_script(words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*words, "--print_config"])
        patch.syspath_prepend(str(ROOT / "scripts"))
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    assert not ended.value.code, words


def read_yaml(block, folder):
    """A description of columns, or options of a run."""
    if "columns" in yaml.safe_load(block):
        return  # read by a test of its own
    path = folder / "options.yaml"
    path.write_text(block, encoding="utf-8")
    cli.parse("run", [str(path)])


def run_page(page, folder):
    """Runs the blocks of a page and returns the names that its Python left."""
    names = {}
    for language, block in blocks(page):
        block = block.replace("your-org/", f"owner/{page.stem.lower()}-").replace("--resolution 64", "")
        block = block.replace("max_train_steps=2000", "max_train_steps=20")
        block = block.replace("--num_components 256", "--num_components 16")
        if language == "bash":
            for line in block.replace("\\\n", " ").strip().splitlines():
                run_line(line)
        elif language == "python":
            exec(compile(block, page.name, "exec"), names)
        else:
            read_yaml(block, folder)
    return names


def write_records(folder):
    """The private records and public images that the README begins with."""
    from hf_hybrid.phantom.cohort import write_phantom

    table = messy_table(160).replace({"only-one-patient-has-this": "deceased"})
    write_image_folder(folder / "records", table)
    write_phantom(folder / "public_images", num_records=40, resolution=RESOLUTION, images_only=True)


def make_what_the_readme_makes():
    """`codec`, `divided`, `pipeline` and `runs/mine/release`, for the other pages."""
    from hf_hybrid import GaussianCopulaSampler, HybridPipeline, load_records, write_release

    assert cli.main(["split", "records", "divided", "--validation", "0"]) == 0
    tiny_codec().save_with_card("codec")
    records = load_records("divided:train", targets=["outcome"])
    pipeline = HybridPipeline.fit(records, "codec", GaussianCopulaSampler())
    pipeline.save_pretrained("pipeline")
    Path("runs/mine").mkdir(parents=True)
    write_release(pipeline, "runs/mine/release", num_records=240)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the README makes, for pages that do not change it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_records(folder)
        make_what_the_readme_makes()
    return folder


@pytest.fixture(scope="module")
def evaluated(made, tmp_path_factory, small_evidence_of_a_module):
    """The same after the page on evidence, which evaluates the pipeline and the release."""
    folder = copy_of(made, tmp_path_factory.mktemp("evaluated"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_page(ROOT / "docs" / "evidence.md", folder)
    return folder


def copy_of(folder, new):
    shutil.copytree(folder, new, dirs_exist_ok=True, symlinks=True)
    return new


def check_readme(hub, names):
    assert len(names["dataset"]) == 100
    assert not hub.repo("owner/readme-synthetic-cxr", "dataset").private
    assert hub.repo("owner/readme-cxr-hybrid").private


def check_hub(hub, names):
    assert len(names["dataset"]) == 100
    assert not hub.repo("owner/hub-synthetic-cxr", "dataset").private
    assert hub.repo("owner/hub-synthetic-cxr-draft", "dataset").private


def check_samplers(hub, names):
    assert len(names["rows_for_images"]) == len(names["filled"]) == len(names["table"].dataset)


def check_architecture(hub, names):
    """The examples of a metric, an attack and a command do what they say."""
    from hf_hybrid import load_records
    from hf_hybrid.data import privacy_rule
    from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
    from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
    from hf_hybrid.evaluation.options import EvaluationOptions

    real = [load_records(f"divided:{split}", targets=["outcome"]) for split in ("train", "test")]
    schema = privacy_rule.protect(real[0].schema, real[0].frame, real[0].groups)
    train, test = (
        EvaluationSet(one.pixel_values(32), privacy_rule.restrict(schema, one.frame), one.groups) for one in real
    )
    spaces = AttackSpaces(Comparison(train, train, test, schema, EvaluationOptions(bootstraps=20)))
    (found,) = names["NearImageAttack"]().run(spaces).tests

    twice = train.take(np.arange(len(train)).repeat(2)).frame
    assert names["RepeatedRows"]().scores(twice, test.frame)["repeated rows"] >= 0.5
    assert found.risk.value > 0.5
    assert names["main"](names["Options"]("codec")) == 0


CHECKS = {
    "README": check_readme,
    "architecture": check_architecture,
    "hub": check_hub,
    "samplers": check_samplers,
}


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.stem, marks=pytest.mark.slow if page.stem in SLOW else ()) for page in PAGES]
)
@pytest.mark.usefixtures("small_evidence_of_a_module")
def test_the_code_of_a_page_runs(page, hub, tmp_path, monkeypatch, request):
    if page.stem == "evidence":
        assert (request.getfixturevalue("evaluated") / "pipeline" / "report.json").is_file()
        return
    monkeypatch.chdir(tmp_path)
    if page.stem == "README":
        write_records(tmp_path)
    elif page.stem in CHECKS:
        copy_of(request.getfixturevalue("evaluated" if page.stem == "hub" else "made"), tmp_path)
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")

    names = run_page(page, tmp_path)

    CHECKS.get(page.stem, lambda hub, names: None)(hub, names)


def test_the_schema_of_the_readme_is_read():
    import pandas as pd

    from hf_hybrid.data.schema import RecordSchema

    (block,) = (block for language, block in blocks(PAGES[0]) if language == "yaml")
    raw = pd.DataFrame({"outcome": ["discharged", "not visible"], "age": ["30", "40"], "ward": ["a", "b"]})
    schema = RecordSchema.infer(raw, "image", yaml.safe_load(block))

    assert schema.targets == ["outcome"]
    assert schema.columns["age"].bounds == (18, 90)
    assert list(schema.read(raw)[0]["outcome"]) == ["discharged", None]


@pytest.mark.usefixtures("small_evidence_of_a_module")
def test_the_example_makes_a_release(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import one_release

    from hf_hybrid import evaluate_release
    from hf_hybrid.evaluation.options import EvaluationOptions

    few = functools.partial(evaluate_release, options=EvaluationOptions(seeds=1, bootstraps=100, reader_steps=2))
    monkeypatch.setattr(one_release, "evaluate_release", few)
    write_image_folder(tmp_path / "records", messy_table(160).replace({"only-one-patient-has-this": "deceased"}))
    tiny_codec().save_with_card(tmp_path / "codec")
    report = one_release.one_release(tmp_path / "out", tmp_path / "records", tmp_path / "codec")
    one_release.show(report)
    printed = capsys.readouterr().out

    assert report.privacy.verdict in ("pass", "inconclusive")
    assert printed.endswith(f"privacy: {report.privacy.verdict}\n")
    assert re.search(r"outcome from both, trained on synthetic 5x: AUC \d", printed)


def test_the_example_draws_its_own_records_where_none_are_given(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import one_release

    asked = []
    monkeypatch.setattr(one_release, "evaluate_release", lambda *words: asked.append(words))
    one_release.one_release(tmp_path, num_records=60)

    assert asked == [(tmp_path / "release", f"{tmp_path / 'private'}:train", f"{tmp_path / 'private'}:test")]
    assert (tmp_path / "release" / "README.md").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        path = (page.parent / target) if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(link)

    assert broken == []


def anchors(page):
    """What a link behind `#` may say: headings as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_file_of_results_is_named_and_every_named_one_is_there():
    named = set()
    for page in PAGES:
        text = re.sub(r"git show [^`]*`", "", text_of(page))  # results of earlier versions
        named |= set(re.findall(r"results/([\w.]+\.(?:jsonl?|md))\b", text))

    assert named == {path.name for path in (ROOT / "docs" / "results").iterdir()}


def test_the_life_of_a_record_names_functions_that_exist():
    text = text_of(ROOT / "docs" / "architecture.md")
    life = text.split("## The life of a record")[1].split("##")[0]
    names = [name for line in life.splitlines() if line.startswith("|") for name in NAME.findall(line.split("|")[3])]

    assert len(names) >= 15 and [name for name in names if not resolves(name)] == []


def resolves(name):
    """Whether `module.function` or `module.Class.method` is in the package."""
    parts = name.split(".")
    place = next(end for end in range(len(parts), 0, -1) if (ROOT / "hf_hybrid" / "/".join(parts[:end])).exists())
    found = importlib.import_module(".".join(["hf_hybrid", *parts[: place + 1]]))
    for part in parts[place + 1 :]:
        found = getattr(found, part, None)
    return found is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_source_file_that_a_page_names_exists(page):
    named = set(re.findall(r"`((?:hf_hybrid|tests|scripts|examples|docs|cards)/[\w/.]*)`", text_of(page)))

    assert [name for name in sorted(named) if "NAME" not in name and not (ROOT / name).exists()] == []


def test_every_picture_is_shown():
    shown = {Path(name).name for page in PAGES for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text_of(page))}

    assert shown == {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".svg")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_no_placeholder(page):
    assert not re.search(r"^[A-Z]+_?[A-Z]+$", text_of(page), re.MULTILINE)


def test_the_readme_and_the_guide_for_contributors_stay_short():
    assert len(text_of(PAGES[0]).splitlines()) <= 200
    assert len(text_of(PAGES[1]).splitlines()) <= 80
