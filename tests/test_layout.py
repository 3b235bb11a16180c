"""The layout: folders on floors, imports downwards only, no circle, heavy dependencies in one place, small parts."""

import ast
import functools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hf_hybrid"
sys.path.insert(0, str(ROOT / "scripts"))
import structure  # noqa: E402

FLOORS = (
    ("core",),
    ("data", "hub", "training"),
    ("metrics", "phantom", "reports"),
    ("models", "samplers"),
    ("synthesis",),
    ("evaluation",),
    ("studies",),
    ("commands",),
)
FLOOR_OF = {folder: number for number, folders in enumerate(FLOORS) for folder in folders}
INITS = sorted(PACKAGE.rglob("*/__init__.py"))  # of folders and of folders within them
HEAVY = {  # a dependency that is imported in one module
    "ctgan": {"samplers/ctgan.py"},
    "evaluate": {"metrics/utility.py"},
    "matplotlib": {"reports/drawing.py"},
    "pydicom": {"data/images.py"},
    "torchxrayvision": {"models/xrv_features.py"},
    "transformers": {"models/image_features.py"},
}
ALLOWED_TO_ATTACKS = ("comparison", "options", "training_patients")  # of `evaluation`, for `evaluation/attacks`
# What may be longer or wider than the limits of scripts/structure.py, and why.
EXCEPTIONS = {
    "evaluation.release_evaluation.evaluate_release": "public: each parameter is an option of `hf-hybrid evaluate`",
    "hub.upload.push": "public: each parameter is an option of `hf-hybrid push`",
    "models.alphagan.__init__": "the constructor is the configuration, as in every diffusers model",
}


@pytest.fixture(scope="module")
def modules():
    return structure.read_package(PACKAGE)


@functools.cache
def imported(path: Path) -> dict[str, int]:
    """Dotted names of everything imported, inside functions too, but for what only a type checker reads."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), {}
    checked = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    skipped = {id(one) for node in checked for one in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name: node.lineno for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}": node.lineno for alias in node.names}
    return found


def test_every_folder_stands_on_a_floor_and_nothing_lies_beside_them():
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*/*.py")}

    assert folders == set(FLOOR_OF)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_imports_go_down_the_floors_only():
    wrong = []
    for path in PACKAGE.rglob("*/*.py"):
        folder = path.relative_to(PACKAGE).parts[0]
        for name, line in imported(path).items():
            parts = name.split(".")
            if parts[0] != "hf_hybrid" or parts[1] in (folder, "__version__"):
                continue
            if FLOOR_OF[parts[1]] >= FLOOR_OF[folder]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} (floor {FLOOR_OF[folder]}) imports {name}")

    assert wrong == []


def test_attacks_know_what_is_compared_and_not_who_runs_them():
    known = ("attacks", *ALLOWED_TO_ATTACKS)
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in (PACKAGE / "evaluation" / "attacks").glob("*.py")
        for name, line in imported(path).items()
        if name.startswith("hf_hybrid.evaluation.") and name.split(".")[2] not in known
    ]

    assert wrong == []
    said = ast.get_docstring(ast.parse((PACKAGE / "evaluation" / "attacks" / "__init__.py").read_text("utf-8")))
    assert all(f"`{one}`" in said for one in ALLOWED_TO_ATTACKS)


def test_no_modules_import_each_other_in_a_circle(modules):
    assert structure.circles(structure.imports_of(modules)) == []


@pytest.mark.parametrize("folder", [path.parent.relative_to(PACKAGE).as_posix() for path in INITS])
def test_a_folder_says_what_lives_in_it_and_what_it_may_import(folder):
    tree = ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8"))

    assert len(tree.body) == 1, "expected a docstring alone: importing a folder must cost nothing"
    assert f"Floor {FLOOR_OF[folder.split('/')[0]]}: imports" in ast.get_docstring(tree)
    assert "Offers" in ast.get_docstring(tree)


def test_tests_have_the_same_folders():
    assert {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.glob("test_*.py"))} == set(
        FLOOR_OF
    )


@pytest.mark.parametrize("package", HEAVY)
def test_a_heavy_dependency_is_imported_in_one_module(package):
    importers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == package for name in imported(path))
    }

    assert importers == HEAVY[package]


def test_nothing_writes_a_pickle():
    for path in PACKAGE.rglob("*.py"):
        used, text = {name.split(".")[0] for name in imported(path)}, path.read_text(encoding="utf-8")
        assert not {"pickle", "dill", "cloudpickle"} & used, path
        assert not re.search(r"torch\.save\(|joblib(\.| import .*\b)(dump|load)", text), (
            path
        )  # joblib starts processes


def test_nothing_is_longer_or_wider_than_a_reader_can_hold(modules):
    found = [one.split(" (")[0] for some in structure.sizes(modules).values() for one in some]

    assert sorted(found) == sorted(EXCEPTIONS)
    assert len(EXCEPTIONS) <= 10
