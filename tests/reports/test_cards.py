import copy
import json
import re
from pathlib import Path

import pytest
from datasets import ClassLabel, Image, List, Value, load_dataset
from example_folders import (
    CODEC,
    NUM_RECORDS,
    RELEASE,
    REPORT,
    SAMPLER,
    evaluate,
    make_codec,
    make_pipeline,
    make_release,
    make_studied_codec,
    png,
    privacy,
    risk,
)

from hf_hybrid.core import provenance
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.report import Report
from hf_hybrid.reports import cards, terminal
from hf_hybrid.reports.charts import report_charts

EXPECTED = Path(__file__).parents[1] / "expected"


@pytest.fixture
def release(tmp_path):
    return make_release(tmp_path / "release")


@pytest.fixture
def evaluated(release):
    evaluate(release)
    (release / "assets" / "utility_outcome.png").write_bytes((release / "assets" / "samples.png").read_bytes())
    return release


def change(folder: Path, *keys: str, **entries) -> None:
    """Changes entries of provenance.json; None as `...` removes one."""
    facts = provenance.read_provenance(folder)
    place = facts
    for key in keys:
        place = place[key]
    place.update(entries)
    for name in [name for name, value in entries.items() if value is ...]:
        del place[name]
    provenance.write_provenance(folder, facts)


class TestReleaseCard:
    def test_whole_text(self, evaluated):
        text = str(cards.release_card(evaluated))
        # Sizes depend on the version of pyarrow.
        sizes = {name: re.search(rf"{name}: (\d+)", text)[1] for name in ("num_bytes", "download_size")}
        assert sizes["download_size"] == str(sum(path.stat().st_size for path in (evaluated / "data").iterdir()))
        expected = (EXPECTED / "dataset_card.md").read_text()
        assert text == expected.replace("NUM_BYTES", sizes["num_bytes"]).replace(
            "DOWNLOAD_SIZE", sizes["download_size"]
        )

    def test_release_that_was_not_evaluated_says_so_near_the_top(self, release):
        text = cards.release_card(release).text
        top = text[: text.index("## Load")]
        assert "**Privacy has not been measured for this release: do not treat it as anonymous.**" in top
        assert "**Utility has not been evaluated:**" in top
        assert "Not measured: utility, fidelity, pairing, privacy." in top
        assert "Privacy: " not in text
        assert "report.html" not in text

    def test_the_verdict_on_privacy_stands_near_the_top_and_every_family_below(self, release):
        evaluate(release, {**REPORT, "privacy": privacy(copies="fail")})
        text = cards.release_card(release).text
        assert (
            "**Privacy: FAILED.** An attack exceeds its limit by more than chance explains: "
            in text[: text.index("## Load")]
        )
        assert "Copies: FAIL (exact copy: image); Membership: pass;" in text[: text.index("## Load")]
        page = cards.report_html(release)
        assert "<td>near copy: row: 0.012 (-0.020 to 0.040)</td><td>fails above 0, passes below 0.05</td>" in page
        assert "What to do: use a sampler that copies less (fewer steps, the copula)" in page

    def test_a_pass_on_average_over_columns_names_the_columns_that_it_leaves_open(self, release):
        """19 of 26 attacks on single columns of the demo were open below "every attack is surely weaker"."""
        names = [f"{name} from the {known}" for name in ("age", "crp") for known in ("other columns", "image and ...")]
        ends = [(0.01, -0.1, 0.2), (0.02, -0.1, 0.03), (-0.01, -0.05, 0.02), (0.08, 0.01, 0.3)]
        details = [risk(name, value, interval=[*end]) for name, (value, *end) in zip(names, ends, strict=True)]
        found = privacy()
        found["families"][2] |= {"details": details}
        evaluate(release, {**REPORT, "privacy": found})
        report = Report.from_dict(json.loads((release / "report.json").read_text()))
        card, page = cards.release_card(release).text, cards.report_html(release)
        for text in (card[: card.index("## Load")], page, terminal.format_privacy(report.privacy)):
            assert "the 95 % interval of the risk, averaged over columns, lies below its limit" in text
            assert "2 of 4 attacks of attribute inference on one column reach the limit (crp, age)" in text
            assert "the strongest is crp from the image and ...: 0.080 (0.010 to 0.300)." in text
            assert "ttribute inference: pass, averaged over columns; open for crp, age" in text or text is page
        assert "of single columns crp from the image and ...: 0.080" in page
        evaluate(
            release,
            {**REPORT, "privacy": privacy() | {"families": [{**one, "details": []} for one in privacy()["families"]]}},
        )
        assert "single column" not in cards.release_card(release).text

    def test_no_number_of_test_patients_is_said_where_none_would_do(self, release):
        found = privacy(membership="inconclusive")
        found["families"][1] |= {"patients_needed": None, "is_settled_by_patients": False}
        evaluate(release, {**REPORT, "privacy": found})
        words = "inconclusive (no number of test patients would settle it: too few training patients)"
        assert f"Membership: {words}" in cards.release_card(release).text and words in cards.report_html(release)

    def test_an_accepted_risk_is_shown_with_its_reason(self, release):
        evaluate(release, {**REPORT, "privacy": privacy(copies="inconclusive")})
        change(release, "release", accepted_risk="a pilot | for 3 sites")
        text = cards.release_card(release).text
        assert "The publisher accepts the risk: a pilot \\| for 3 sites." in text[: text.index("## Load")]
        assert "inconclusive (about 400 test patients would settle it)" in text
        assert "The publisher accepts the risk: a pilot | for 3 sites." in cards.report_html(release)

    @pytest.mark.parametrize("streaming", [False, True])
    def test_folder_loads_with_its_features(self, evaluated, tmp_path, streaming):
        cards.release_card(evaluated).save(evaluated / "README.md")
        dataset = load_dataset(str(evaluated), split="train", streaming=streaming, cache_dir=tmp_path / "cache")
        assert dataset.features == {
            "image": Image(),
            "age": Value("int64"),
            "crp": Value("float64"),
            "sex": ClassLabel(names=["F", "M"]),
            "devices": List(ClassLabel(names=["tube", "line|drain"])),
            "outcome": ClassLabel(names=["survived", "deceased"]),
        }
        records = list(dataset)
        assert len(records) == NUM_RECORDS and records[0]["image"].size == (8, 8)
        assert [record["outcome"] for record in records] == [0, 1] * 6
        assert [record["crp"] for record in records[:4]] == [None, 3.5, float("inf"), 120.0]

    def test_source_is_named_only_when_asked(self, release):
        assert "The private dataset is not named." in cards.release_card(release).text
        change(release, "release", source_name="St. *Elsewhere*")
        assert "The model learned from St. \\*Elsewhere\\*." in cards.release_card(release).text

    def test_numeric_target_is_a_regression(self, release):
        schema = json.loads((release / "schema.json").read_text())
        schema["columns"]["age"]["role"] = "target"
        (release / "schema.json").write_text(json.dumps(schema))
        tasks = ["image-classification", "tabular-classification", "tabular-regression"]
        assert cards.release_card(release).data.task_categories == tasks
        schema["columns"]["outcome"]["role"] = "clinical"
        (release / "schema.json").write_text(json.dumps(schema))
        assert cards.release_card(release).data.task_categories == ["tabular-regression"]

    def test_control_says_that_it_holds_real_records(self, release):
        change(release, "sampler", contains_training_records=True)
        text = cards.release_card(release).text
        assert "it holds real training records. Do not publish it." in text and "no record is a patient" not in text


def leaves(facts: dict, where: tuple[str, ...] = ()):
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from leaves(value, (*where, key))
        else:
            yield (*where, key)


SHOWN = [
    ("release", *path) for path in leaves(RELEASE) if path[0] not in ("num_records", "conditions", "source_name")
] + [
    ("codec", "class"),
    ("codec", "config", "latent_dim"),
    *(("codec", "training", name) for name in ("images", "steps", "seed")),
    ("sampler", "class"),
    *(("sampler", "training", *path) for path in leaves(SAMPLER["training"])),
    ("versions", "torch"),
]


class TestMissingFact:
    @pytest.mark.parametrize("path", SHOWN, ids=".".join)
    def test_null_fails_the_card_and_the_report(self, release, path):
        change(release, *path[:-1], **{path[-1]: None})
        with pytest.raises(InputError, match="missing|expected the fact"):
            cards.release_card(release)
        if path != ("release", "license"):
            with pytest.raises(InputError, match="missing|expected the fact"):
                cards.report_html(release)

    @pytest.mark.parametrize(
        "path", [path for path in SHOWN if path[0] != "versions"] + [("release", "source_name")], ids=".".join
    )
    def test_absent_fails_the_card(self, release, path):
        change(release, *path[:-1], **{path[-1]: ...})
        with pytest.raises(InputError):
            cards.release_card(release)

    @pytest.mark.parametrize("name", ["release", "codec", "sampler", "versions"])
    def test_whole_section(self, release, name):
        change(release, **{name: ...})
        with pytest.raises(InputError, match=f"expected the fact `{name}` in provenance.json"):
            cards.release_card(release)

    @pytest.mark.parametrize("name", ["assets/samples.png", "schema.json", "provenance.json"])
    def test_file(self, release, name):
        (release / name).unlink()
        with pytest.raises(InputError, match=name):
            cards.release_card(release)

    def test_bounds_of_a_number(self, release):
        schema = json.loads((release / "schema.json").read_text())
        del schema["columns"]["age"]["bounds"]
        (release / "schema.json").write_text(json.dumps(schema))
        with pytest.raises(InputError, match="expected `bounds` of column `age`"):
            cards.release_card(release)

    @pytest.mark.parametrize("key", ["value", "interval", "compared_with", "n_test_patients", "difference"])
    def test_entry_of_a_score(self, evaluated, key):
        report = copy.deepcopy(REPORT)
        del report["utility"]["scores"][0][key]
        (evaluated / "report.json").write_text(json.dumps(report))
        with pytest.raises(InputError, match=f"expected the fact '{key}' in report.json"):
            cards.release_card(evaluated)

    @pytest.mark.parametrize(
        ("section", "key"), [("fidelity", "extractor"), ("pairing", "columns"), ("privacy", "screening")]
    )
    def test_part_of_a_section(self, evaluated, section, key):
        report = copy.deepcopy(REPORT)
        del report[section][key]
        (evaluated / "report.json").write_text(json.dumps(report))
        with pytest.raises(InputError, match=f"expected the fact '{key}' in report.json"):
            cards.release_card(evaluated)


class TestModelCards:
    @pytest.mark.parametrize(
        ("make", "render", "golden"),
        [
            (make_studied_codec, cards.codec_card, "codec_card.md"),
            (make_pipeline, cards.pipeline_card, "pipeline_card.md"),
        ],
        ids=["codec", "pipeline"],
    )
    def test_whole_text(self, tmp_path, make, render, golden):
        assert str(render(make(tmp_path / "model"))) == (EXPECTED / golden).read_text()

    def test_what_was_not_measured_is_not_in_the_card_of_a_codec(self, tmp_path):
        text = cards.codec_card(make_codec(tmp_path / "codec")).text
        assert "Evidence on public patients" not in text and "held-out ones" not in text

    def test_codec_without_scores_says_so(self, tmp_path):
        folder = make_codec(tmp_path / "codec")
        change(folder, "codec", "training", scores={})
        assert "the codec was provided without them" in cards.codec_card(folder).text

    @pytest.mark.parametrize("control", ["pca", "codec"])
    def test_score_without_its_control_fails(self, tmp_path, control):
        folder = make_codec(tmp_path / "codec")
        scores = {name: found for name, found in CODEC["training"]["scores"].items() if name != control}
        change(folder, "codec", "training", scores=scores)
        with pytest.raises(InputError, match=f"expected the fact `{control}` in codec.training.scores"):
            cards.codec_card(folder)

    def test_pipeline_without_sampler_fails(self, tmp_path):
        folder = make_pipeline(tmp_path / "pipeline")
        change(folder, sampler=...)
        with pytest.raises(InputError, match="expected the fact `sampler`"):
            cards.pipeline_card(folder)


class TestReport:
    def test_is_one_file_with_the_verdict_first(self, evaluated):
        text = cards.report_html(evaluated, report_charts(Report.from_dict(REPORT)))
        assert re.findall(r"https?:|<script|<link|@import|url\((?!#)", text) == []
        assert re.findall(r'src="(.{22})', text) == ["data:image/png;base64,"]
        places = [text.index(word) for word in ("Privacy: passed", "74%", "<img", '<h2 id="columns">')]
        assert places == sorted(places)
        assert "width=device-width" in text and "@media print" in text and "prefers-color-scheme: dark" in text

    def test_charts_follow_the_colours_of_the_page_and_say_what_they_show(self, evaluated):
        charts = report_charts(Report.from_dict(REPORT))
        assert {part: len(found) for part, found in charts.items()} == {
            "utility": 2,
            "fidelity": 2,
            "pairing": 1,
            "privacy": 2,
        }
        markup = "".join(chart.markup for found in charts.values() for chart in found)
        assert set(re.findall(r"var\(--(\w+)\)", markup)) >= {"ink", "real", "synthetic", "both"}
        assert not re.search(r"#0([1-6])0\1", markup) and "<?xml" not in markup and "dc:date" not in markup
        assert "age ($)" in markup
        text = cards.report_html(evaluated, charts)
        described = re.findall(r'<figure role="img" aria-label="([^"]+)"', text)
        assert described == [chart.alt for found in charts.values() for chart in found] and len(set(described)) == 7

    def test_the_publishers_own_page_says_so_and_shows_rows(self, evaluated):
        rows = [{"distance": "0.42", "cells": {"age": ["61", "62"], "<b>": ["missing", "3"]}}]
        private = cards.PrivateFacts({"real": png(1), "closest_images": png(2)}, rows)
        text = cards.report_html(evaluated, report_charts(Report.from_dict(REPORT)), private)
        assert "<strong>For the publisher only.</strong>" in text and "A row at 0.42 times the threshold" in text
        assert text.count("for the publisher only") == 2 and "<b>" not in text
        assert "For the publisher only" not in cards.report_html(evaluated, report_charts(Report.from_dict(REPORT)))

    def test_a_report_of_another_version_is_refused(self):
        with pytest.raises(InputError, match="expected the fact 'curves' in report.json, found none: run"):
            Report.from_dict({**REPORT, "privacy": {key: one for key, one in privacy().items() if key != "curves"}})

    def test_names_cannot_break_out(self, release):
        change(release, "release", pretty_name="<script>alert(1)</script>")
        assert "<script" not in cards.report_html(release)
        assert "\n# \\<script\\>" in cards.release_card(release).text


@pytest.mark.parametrize("folder", ["release", "evaluated"])
def test_nothing_is_left_blank(request, folder):
    folder = request.getfixturevalue(folder)
    for text in (str(cards.release_card(folder)), cards.report_html(folder)):
        assert not re.search(r"\bNone\b|\bnull\b|\bnan\b|undefined|More Information Needed|\{\{|\{%", text)
