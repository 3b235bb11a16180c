"""A comparison of samplers as texts, for its table and its page."""

from dataclasses import dataclass

_SIDES = {"learned from": "Training", "tested on": "test"}  # the keys of `benchmark.json`
_INPUTS = {"image": "image", "table": "table", "both": "image and table"}


@dataclass
class BenchmarkFacts:
    """The texts of the table and page of a benchmark: paragraphs, and the cells of one table."""

    notes: list[str]
    columns: list[str]
    rows: list[list[str]]


def benchmark_facts(result: dict) -> BenchmarkFacts:
    """The texts of the content of `benchmark.json`."""
    configuration, samplers = result["configuration"], result["samplers"]
    sides = [
        f"{_SIDES[side]}: {one['records']:,} records of {one['patients']:,} patients"
        for side, one in result["records"].items()
    ]
    notes = [
        f"{'; '.join(sides)} ({configuration['tested_on']}); {result['synthetic_records']:,} synthetic "
        f"records of each sampler and seed, {configuration['seeds']} seeds.",
        "Column shapes and pair trends: similarity of the columns of synthetic and tested records; 1 is best. "
        "Share of the range: where pair trends and three-way distributions are, from real records with every column "
        "shuffled (0) to real ones (1). "
        "Pairing: share of the cells' variance that latents explain, learned on synthetic and tested on real records "
        f"(learned on real ones: {result['real']['pairing']:.3f}). Recovered: share of what a model trained on real "
        "records has above chance. Membership: AUC of recognising training patients by the distance to the "
        "nearest synthetic record, and its difference from the copula's.",
        "Means over seeds. In parentheses: 95 % patient bootstrap intervals of recovered shares and membership, the "
        "lowest and highest seed of all others.",
    ]
    tasks = scored_tasks(result)
    if not tasks:
        notes.append("Recovered shares: none; no model trained on real records is significantly better than chance.")
    columns = ["Sampler", "Column shapes", "Pair trends", "share of the range", "three-way", "Pairing"]
    columns += [f"Recovered: {task['target']} from {_INPUTS[task['inputs']]}" for task in tasks.values()]
    columns += ["Membership AUC", "above the copula's", "Fit, s", "Records a second", "Peak memory, MB"]
    rows = []
    for name, one in samplers.items():
        row = [name + (" (holds training records)" if one["contains_training_records"] else "")]
        row += [_with_range(one[number], 3) for number in ("column_shapes", "pair_trends")]
        row += [_with_range(one.get(number), 2) for number in ("pair_trends_share", "three_way_share")]
        row += [_with_range(one["pairing"], 3)]
        row += [_with_range(one["utility"][number]["recovered_share"], 2) for number in tasks]
        row += [_with_range(one[number], 2) for number in ("membership", "membership_above_copula")]
        row += [_with_range(one["fit_seconds"], 2)]
        rows.append([*row, *(f"{one[number]['value']:,.0f}" for number in ("records_per_second", "peak_memory_mb"))])
    return BenchmarkFacts(notes, columns, rows)


def scored_tasks(result: dict) -> dict[int, dict]:
    """The prediction tasks for which some sampler has a recovered share, by their place in its `utility`."""
    samplers = result["samplers"].values()
    return {
        number: task
        for number, task in enumerate(next(iter(samplers))["utility"])
        if any(one["utility"][number]["recovered_share"] for one in samplers)
    }


def _with_range(number: dict | None, places: int) -> str:
    if number is None or number["value"] is None:
        return "not given"
    # Adding 0 makes a rounded -0.00 a 0.00.
    shown = [f"{round(one, places) + 0:.{places}f}" for one in (number["value"], *(_ends(number) or ()))]
    return shown[0] + (f" ({shown[1]} to {shown[2]})" if len(shown) > 1 else "")


def _ends(number: dict) -> list[float] | None:
    return number.get("range") or number.get("interval")
