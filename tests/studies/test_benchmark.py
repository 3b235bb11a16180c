"""`hf-hybrid benchmark`: samplers on one split, from the configuration to the page."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from hf_hybrid.commands import benchmark as command
from hf_hybrid.commands import cli
from hf_hybrid.core.files import private_folder
from hf_hybrid.metrics.estimates import Estimate
from hf_hybrid.metrics.fidelity import (
    draws_of_patients,
    pair_trends,
    share_of_range,
    shuffled_columns,
    significant_range,
)
from hf_hybrid.reports import cards
from hf_hybrid.samplers.controls import BootstrapSampler
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.studies import benchmark

CONFIG = {
    "cohort": {"num_records": 160, "resolution": 32},
    "public_cohort": {"num_records": 40, "resolution": 32, "seed": 1},
    "split": {"validation": 0.2},
    "codec": {
        "resolution": 32,
        "latent_dim": 6,
        "base_channels": 4,
        "max_channels": 8,
        "max_train_steps": 4,
        "train_batch_size": 4,
        "validation_steps": 2,
    },
    "samplers": ["copula", "bootstrap"],
    "seeds": 1,
    "multiple": 2,
    "bootstraps": 30,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Only the copula is fitted in a process of its own, whose start takes seconds."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    in_a_process = command._in_a_process

    def fit(latents, sampler, *rest):
        if isinstance(sampler, GaussianCopulaSampler):
            return in_a_process(latents, sampler, *rest)
        *_, output, _ = rest
        private_folder(output.parent)
        return benchmark.fit_and_sample(latents, sampler, *rest, torch.get_num_threads())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "_in_a_process", fit)
        assert cli.main(["benchmark", str(folder / "tiny.yaml"), "--output_dir", str(folder / "out")]) == 0
    return folder


@pytest.fixture
def result(made):
    return json.loads((made / "out" / "benchmark.json").read_text())


def test_copies_are_told_from_draws(result):
    samplers = result["samplers"]

    assert list(samplers) == ["copula", "bootstrap"]
    assert samplers["bootstrap"]["contains_training_records"] and not samplers["copula"]["contains_training_records"]
    assert samplers["copula"]["membership_above_copula"]["value"] == 0
    assert samplers["bootstrap"]["membership_above_copula"]["interval"][0] > 0.1


def test_every_number_has_its_range_or_interval(result):
    for one in result["samplers"].values():
        for name in ("pair_trends_share", "three_way_share"):
            share = one[name]
            assert share["value"] < 1.3 if "reason" not in share else share["value"] is share["range"] is None
        for name in ("column_shapes", "pair_trends", "pairing", "fit_seconds", "records_per_second", "peak_memory_mb"):
            low, high = one[name]["range"]
            assert low <= one[name]["value"] <= high, name
        low, high = one["membership"]["interval"]
        assert low < one["membership"]["value"] < high
        assert {(task["target"], task["inputs"]) for task in one["utility"]} >= {
            ("age", "image"),
            ("age", "table"),
            ("age", "both"),
        }


def test_the_table_has_a_row_a_sampler(made, result):
    lines = (made / "out" / "benchmark.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")]

    assert [row.split(" | ")[0] for row in rows[2:]] == ["| copula", "| bootstrap (holds training records)"]
    assert len({row.count("|") for row in rows}) == 1
    assert cards.benchmark_table(result) == (made / "out" / "benchmark.md").read_text()


def test_the_page_loads_nothing_and_the_chart_says_nothing_else(made):
    page = (made / "out" / "benchmark.html").read_text()

    assert "<script" not in page and not re.search(r"(src|href)=\"(?!data:)", page)
    assert b"tEXt" not in (made / "out" / "benchmark.png").read_bytes()


def test_no_path_and_no_private_record_is_in_the_result(made, result):
    text = json.dumps(result) + (made / "out" / "benchmark.md").read_text()

    assert str(made) not in text and "phantom-0" not in text
    assert (made / "out" / "logs").stat().st_mode & 0o077 == 0


def test_what_is_done_is_not_done_again(made, capsys, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("it was fitted again")

    monkeypatch.setattr("hf_hybrid.commands.benchmark._in_a_process", refuse)
    before = (made / "out" / "benchmark.json").read_bytes()

    assert cli.main(["benchmark", str(made / "tiny.yaml"), "--output_dir", str(made / "out")]) == 0
    assert (made / "out" / "benchmark.json").read_bytes() == before


@pytest.mark.parametrize(
    "options, message",
    [
        (["--samplers", "ctgan"], "expected `samplers` among .* copula among them, found .*ctgan"),
        (["--samplers", "copula,gan"], "found .*gan"),
        (
            ["--split.validation", "0", "--cohort.num_records", "40"],
            "expected a split `validation` in the dataset, found",
        ),
        (["--seeds", "0"], "expected `seeds` above 0, found 0"),
    ],
)
def test_bad_input_is_one_line(made, tmp_path, capsys, options, message):
    argv = ["benchmark", str(made / "tiny.yaml"), "--output_dir", str(tmp_path / "out"), *options]

    assert cli.main(argv) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert re.search(message, line)


def scores(auc, attack):
    def estimate(value):
        return Estimate(value, value + np.linspace(-0.02, 0.02, 41))

    return benchmark.Scores(
        {"column_shapes": 0.9, "pairing": 0.1},
        {"membership": estimate(attack), ("outcome", "auc", "image"): estimate(auc)},
    )


def test_shares_and_differences_are_those_of_the_means():
    samplers = {"copula": GaussianCopulaSampler(), "bootstrap": BootstrapSampler()}
    samples = {"copula": [scores(0.7, 0.5), scores(0.74, 0.54)], "bootstrap": [scores(0.8, 0.98), scores(0.8, 1.0)]}
    found = benchmark.summarise(scores(0.8, 1.0), samples, samplers)["samplers"]

    assert found["copula"]["utility"][0]["recovered_share"]["value"] == pytest.approx(0.22 / 0.3, abs=1e-4)
    assert found["copula"]["membership"]["value"] == 0.52
    assert found["bootstrap"]["membership_above_copula"]["value"] == 0.47
    assert found["copula"]["column_shapes"] == {"value": 0.9, "range": [0.9, 0.9]}


def test_a_share_of_no_range_is_not_given_and_says_why(result):
    """Columns that nothing connects: shuffled ones and training records are as near to the tested ones."""
    rng = np.random.default_rng(0)
    tested, train = (pd.DataFrame(rng.normal(size=(200, 4)), columns=list("abcd")) for _ in range(2))
    connected = [one.assign(b=one["a"], c=one["a"]) for one in (tested, train)]
    draws = draws_of_patients(np.arange(200), 40)

    assert np.isnan(significant_range(pair_trends, [shuffled_columns(train), train], tested, draws)).all()
    low, high = significant_range(pair_trends, [shuffled_columns(connected[1]), connected[1]], connected[0], draws)
    assert low < 0.8 < high

    one = scores(0.7, 0.5)
    one.numbers["pair_trends_share"] = np.nan
    found = benchmark.summarise(scores(0.8, 1.0), {"copula": [one, one]}, {"copula": GaussianCopulaSampler()})
    share = found["samplers"]["copula"]["pair_trends_share"]
    assert share["value"] is None and "not significantly more associated" in share["reason"]
    result["samplers"]["copula"]["pair_trends_share"] = share
    row = next(line for line in cards.benchmark_table(result).splitlines() if line.startswith("| copula"))
    assert row.split(" | ")[3] == "not given"


def test_a_larger_release_has_no_larger_share():
    """Five times as many records lie nearer to the tested ones, whatever they are, even with columns shuffled."""

    def drawn(count, seed):
        frame = pd.DataFrame(np.random.default_rng(seed).normal(size=(count, 16)), columns=list("abcdefghijklmnop"))
        return frame.assign(b=frame["a"] + frame["b"], d=frame["c"] + frame["d"], f=frame["e"] + frame["f"])

    found = []
    for seed in range(12):
        train, tested, release = drawn(300, 3 * seed), drawn(300, 3 * seed + 1), drawn(1500, 3 * seed + 2)
        ends = pair_trends(shuffled_columns(train), tested), pair_trends(train, tested)
        ranges = dict.fromkeys(benchmark._OF_DEPENDENCE, ends)
        for sample in (shuffled_columns(release, 1), release):
            found.append(benchmark._shares(sample, tested, ranges, 300)["pair_trends_share"])
            found.append(share_of_range(pair_trends(sample, tested), *ends))
    found = np.reshape(found, (12, 4))
    errors = found.std(axis=0) / np.sqrt(12)
    assert (np.abs(found.mean(axis=0)[[0, 2]] - [0, 1]) < 3 * errors[[0, 2]]).all()
    assert (found.mean(axis=0)[[1, 3]] - [0, 1] > 3 * errors[[1, 3]]).all()  # those of all 1,500


def test_scores_read_back(tmp_path):
    scores(0.7, 0.5).save(tmp_path / "scores")
    again = benchmark.Scores.load(tmp_path / "scores")

    assert again.numbers == scores(0.7, 0.5).numbers
    assert set(again.estimates) == {"membership", ("outcome", "auc", "image")}
    np.testing.assert_array_equal(
        again.estimates["membership"].replicates, scores(0.7, 0.5).estimates["membership"].replicates
    )
