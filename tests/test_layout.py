"""The floors of the design: a module imports only from lower floors, or from those before it on its own."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "hf_hybrid"
FLOORS = (
    (
        "errors",
        "limits",
        "folders",
        "cells",
        "schema",
        "disclosure",
        "tables",
        "provenance",
        "benchmark_facts",
        "score_facts",
        "facts",
        "card",
        "audit",
        "gate",
        "hub",
    ),
    (
        "memory",
        "randomness",
        "pixels",
        "images",
        "sources",
        "records",
        "drawing",
        "phantom",
        "training",
        "models",
        "metrics",
        "samplers",
    ),
    (
        "inspection",
        "latent_table",
        "pipeline",
        "evaluation_options",
        "comparison",
        "compared_records",
        "utility_scores",
        "fidelity_scores",
        "reconstruction_scores",
        "pairing_scores",
        "measurement_scores",
        "privacy_scores",
        "evaluation",
        "model_evaluation",
        "charts",
        "release",
        "publisher",
        "summary",
        "reader_study",
        "benchmark",
    ),
    ("commands",),
)
ORDER = [name for floor in FLOORS for name in floor]
HEAVY = {"ctgan": {"samplers/ctgan.py"}, "pydicom": {"images.py"}, "matplotlib": {"charts.py"}}


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of everything imported, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_module_stands_on_a_floor():
    modules = {module_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}

    assert modules == set(ORDER)


def test_imports_go_down_the_floors_only():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        name = module_of(path)
        if name == "__init__":
            continue
        for imported in imports(path):
            parts = imported.split(".")
            if parts[0] == "hf_hybrid" and parts[1] in ORDER and ORDER.index(parts[1]) > ORDER.index(name):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {imported}")

    assert wrong == []


def test_a_heavy_dependency_is_imported_in_one_module():
    for package, allowed in HEAVY.items():
        importers = {
            str(path.relative_to(PACKAGE))
            for path in PACKAGE.rglob("*.py")
            if any(name.split(".")[0] == package for name in imports(path))
        }
        assert importers and importers <= allowed, package


def test_nothing_writes_a_pickle():
    for path in PACKAGE.rglob("*.py"):
        used = imports(path)
        assert not {"pickle", "joblib", "dill", "cloudpickle"} & {name.split(".")[0] for name in used}, path
        assert "torch.save(" not in path.read_text(encoding="utf-8"), path
