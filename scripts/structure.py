"""The structure of the package as numbers, read from its source: folders, floors, circles, sizes, journeys.

    python scripts/structure.py                       this checkout
    python scripts/structure.py /path/to/hf_hybrid    another one, to compare

A floor of a module is the longest chain of imports below it. A journey follows the calls of a function in the order
of its source, as far as names identify the callee, each function once: how many modules it enters, how often a call
enters a module from another one, and how deep such calls are nested.
"""

import argparse
import ast
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "hf_hybrid"
JOURNEYS = {
    "evaluate": ("commands.evaluate", "main"),
    "generate": ("commands.generate", "main"),
    "run": ("commands.run", "main"),
    "push": ("commands.push", "main"),
}
MAX_LINES, MAX_MODULE_LINES, MAX_PARAMETERS = 40, 300, 7


@dataclass
class Module:
    """One file: what it imports from the package, and its functions by name (`Class.method` for methods)."""

    name: str
    tree: ast.Module
    num_lines: int
    names: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # local name -> module and attribute

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """Functions and methods."""
        found = {}
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = node
            elif isinstance(node, ast.ClassDef):
                found |= {f"{node.name}.{one.name}": one for one in node.body if isinstance(one, ast.FunctionDef)}
        return found


def read_package(package: Path) -> dict[str, Module]:
    """All modules by dotted name within the package, `__init__` of the package itself left out."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            text = path.read_text(encoding="utf-8")
            modules[name] = Module(name, ast.parse(text), len(text.splitlines()))
    for module in modules.values():
        module.names = _imported_names(module, modules, package.name)
    return modules


def _imported_names(module: Module, modules: dict[str, Module], package: str) -> dict[str, tuple[str, str | None]]:
    found = {}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != package:
            continue
        base = ".".join(node.module.split(".")[1:])
        for alias in node.names:
            as_module = f"{base}.{alias.name}".lstrip(".")
            found[alias.asname or alias.name] = (as_module, None) if as_module in modules else (base, alias.name)
    return {name: place for name, place in found.items() if place[0] in modules}


def imports_of(modules: dict[str, Module]) -> dict[str, set[str]]:
    """Which modules each module imports."""
    return {name: {place for place, _ in one.names.values()} - {name} for name, one in modules.items()}


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other in a loop."""
    order, low, stack, found, index = {}, {}, [], [], iter(range(10**6))

    def visit(name: str) -> None:
        order[name] = low[name] = next(index)
        stack.append(name)
        for other in sorted(imports[name]):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            place = stack.index(name)
            if len(stack) - place > 1:
                found.append(sorted(stack[place:]))
            del stack[place:]

    for name in sorted(imports):
        if name not in order:
            visit(name)
    return found


def floors(imports: dict[str, set[str]]) -> dict[str, int]:
    """The longest chain of imports below each module; modules of one circle share theirs."""
    known: dict[str, int] = {}

    def floor(name: str, above: frozenset[str] = frozenset()) -> int:
        if name not in known:
            below = [floor(other, above | {name}) for other in imports[name] - above]
            known[name] = 1 + max(below, default=-1)
        return known[name]

    return {name: floor(name) for name in sorted(imports)}


class Journey:
    """The calls of one function, followed through the package."""

    def __init__(self, modules: dict[str, Module], start: tuple[str, str]) -> None:
        self.modules, self.seen = modules, set()
        self.entered: list[str] = [start[0]]
        self.depth = 0
        self._follow(*start, depth=0)

    @property
    def summary(self) -> str:
        """The numbers in words."""
        return f"{len(set(self.entered))} modules, entered {len(self.entered)} times, {self.depth} deep"

    def _follow(self, module: str, function: str, depth: int) -> None:
        if (module, function) in self.seen:
            return
        self.seen.add((module, function))
        self.depth = max(self.depth, depth)
        for called_module, called in self._calls(module, function):
            crosses = called_module != module
            if crosses:
                self.entered.append(called_module)
            self._follow(called_module, called, depth + crosses)

    def _calls(self, module: str, function: str) -> list[tuple[str, str]]:
        one = self.modules[module]
        calls = [node for node in ast.walk(one.functions[function]) if isinstance(node, ast.Call)]
        calls.sort(key=lambda node: (node.end_lineno, node.end_col_offset))
        found = (self._target(one, function, node.func) for node in calls)
        return [target for target in found if target]

    def _target(self, one: Module, function: str, called: ast.expr) -> tuple[str, str] | None:
        if isinstance(called, ast.Name):
            return self._resolve(*one.names.get(called.id, (one.name, called.id)))
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            holder, name = called.value.id, called.attr
            if holder == "self":
                return self._resolve(one.name, f"{function.split('.')[0]}.{name}")
            if holder in one.names:
                place, inner = one.names[holder]
                return self._resolve(place, f"{inner}.{name}" if inner else name)
            return self._resolve(one.name, f"{holder}.{name}")
        return None

    def _resolve(self, module: str, name: str | None) -> tuple[str, str] | None:
        functions = self.modules[module].functions
        for candidate in (name, f"{name}.__init__", f"{name}.__call__"):
            if candidate in functions:
                return module, candidate
        return None


def sizes(modules: dict[str, Module]) -> dict[str, list[str]]:
    """Modules, functions and signatures above the limits."""
    found = {"functions": [], "modules": [], "signatures": []}
    for name, one in modules.items():
        if one.num_lines > MAX_MODULE_LINES:
            found["modules"].append(f"{name} ({one.num_lines} lines)")
        for node in ast.walk(one.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                count = len([arg for arg in names if arg not in ("self", "cls")])
                if lines > MAX_LINES:
                    found["functions"].append(f"{name}.{node.name} ({lines} lines)")
                if count > MAX_PARAMETERS:
                    found["signatures"].append(f"{name}.{node.name} ({count} parameters)")
    return found


def main() -> int:
    """Prints the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", nargs="?", type=Path, default=PACKAGE, help="folder of the package")
    modules = read_package(parser.parse_args().package)
    imports = imports_of(modules)
    folders: dict[str, list[Module]] = {}
    for name, one in modules.items():
        folders.setdefault(name.split(".")[0] if "." in name else "(top)", []).append(one)
    lines = [f"{folder:12} {len(some):3} modules {sum(one.num_lines for one in some):6} lines"
             for folder, some in sorted(folders.items())]  # fmt: skip
    lines.append(f"{len(modules)} modules, {max(floors(imports).values()) + 1} floors of modules")
    lines.append(f"circles of modules: {circles(imports) or 'none'}")
    for what, some in sizes(modules).items():
        lines.append(f"too long or wide, {what}: {len(some)}" + "".join(f"\n  {one}" for one in some))
    for name, start in JOURNEYS.items():
        lines.append(f"journey of {name}: {Journey(modules, start).summary}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
