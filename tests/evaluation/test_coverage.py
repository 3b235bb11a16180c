"""The script that counts verdicts: it goes on where it stopped, and its table is what its rows say."""

import importlib.util
import json
from pathlib import Path

import pytest

from hf_hybrid.core.families import Family, Limit, Verdict
from hf_hybrid.core.report import Privacy

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    spec = importlib.util.spec_from_file_location("coverage_of_verdicts", SCRIPTS / "verdict_coverage.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(importlib.sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_a_broken_run_goes_on_and_the_table_counts(script, monkeypatch, tmp_path):
    made = []

    class Setting:
        def __init__(self, seed, size, multiple):
            if size == 20:
                raise script.InputError("too few patients")
            self.seed = seed

        def score(self, name):
            made.append((self.seed, name))
            if len(made) == 3:
                raise KeyboardInterrupt
            verdict = Verdict("fail" if name == "copula" else "pass")
            return Privacy((Family("copies", verdict, Limit(0, 0.05)),), (), ())

    monkeypatch.setattr(script.planted_leaks, "Setting", Setting)
    options = script.Options(sizes=[20, 60], seeds=2, releases=["fresh draws", "copula"])
    with pytest.raises(KeyboardInterrupt):
        script.main(tmp_path / "coverage.json", options)
    script.main(tmp_path / "coverage.json", options)
    kept = made[:2] + made[3:]
    assert sorted(kept) == sorted({(seed, name) for seed in (0, 1) for name in options.releases})
    rows = json.loads((tmp_path / "coverage.json").read_text("utf-8"))["rows"]
    assert len(rows) == 8 and sum("error" in row for row in rows) == 4
    text = (tmp_path / "coverage.md").read_text("utf-8")
    assert "| fresh draws | 60 | 2 | 2 / 0 / 0 | 0 |" in text and "| copula | 60 | 2 | 0 / 0 / 2 | 0 |" in text
    assert "| fresh draws | 20 | 2 | 0 / 0 / 0 | 2 |" in text
