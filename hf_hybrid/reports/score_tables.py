"""What the card and the report tell of fidelity, pairing and privacy, from these parts of report.json."""

from collections import defaultdict
from dataclasses import dataclass

_VERDICTS = {
    "pass": ("passed", "Every attack is surely weaker than its limit."),
    "inconclusive": ("inconclusive", "There are too few patients to say that every attack is weaker than its limit."),
    "fail": ("FAILED", "An attack is surely stronger than its limit: do not hand these records on."),
}
_BLANK = dict.fromkeys(("reference", "direction", "n", "meaning"), "")
_FAMILIES = {
    "copies": "Does the release repeat somebody's image, row or record, exactly or nearly?",
    "membership": "Can somebody who holds a patient's record tell whether it was learned from?",
    "attribute inference": "Can somebody who knows all else of a patient guess one cell?",
    "singling out": "Does a description that fits one synthetic record fit exactly one patient?",
    "linkability": "Does the release tell which parts of a record belong to one patient?",
    "files": "Do the files hold names, identifiers, times, paths, or anything beside pixels in their images?",
}


@dataclass
class Scores:
    """Tables of scores.

    Args:
        interval: what stands in parentheses behind each.
        tables: title -> rows of `name`, `value`, `reference`, `direction`, `n` and `meaning`.
    """

    interval: str
    tables: dict[str, list[dict]]


def fidelity_facts(section: dict) -> Scores:
    """The facts of a measured section.

    Raises:
        KeyError: one is missing.
    """
    titles = {"table": "Table", "images": f"Images; features: {section['extractor']}"}
    if "codec" in section:  # where it was at hand
        titles["codec"] = "Codec, on images of unseen patients"
    tables = {title: [score_row(score) for score in section[name]] for name, title in titles.items()}
    return Scores(section["interval"], tables)


def pairing_facts(section: dict) -> Scores:
    """The facts of a measured section.

    Raises:
        KeyError: one is missing.
    """
    titles = {"scores": "All columns", "columns": "Each column, from the image alone"}
    if "measurements" in section:
        titles["measurements"] = "What was measured in the images"
    tables = {title: [score_row(score) for score in section[name]] for name, title in titles.items()}
    return Scores(section["interval"], tables)


@dataclass
class Privacy:
    """What attacks found, in words.

    Args:
        is_passed: whether every family passed.
        verdict: of the worst family.
        meaning: of the verdict, a sentence.
        families: each with `name`, `question`, `verdict`, `limit`, `strongest`, `advice` and the rows `scores`.
        screening: rows that decide nothing.
    """

    is_passed: bool
    verdict: str
    meaning: str
    families: list[dict]
    screening: list[dict]


def privacy_facts(section: dict) -> Privacy:
    """The facts of a measured section.

    Raises:
        KeyError: one is missing.
    """
    return Privacy(
        section["verdict"] == "pass",
        *_VERDICTS[section["verdict"]],
        [_family(one) for one in section["families"]],
        [score_row(score) for score in section["screening"]],
    )


def _family(family: dict) -> dict:
    rows = [score_row(score) for score in family["scores"]]
    words = {"pass": "pass", "inconclusive": "inconclusive", "fail": "FAIL"}[family["verdict"]]
    if family["patients_needed"]:
        words += f" (about {family['patients_needed']:,} test patients would settle it)"
    if family["failed"]:
        words += f" ({', '.join(family['failed'][:5])})"
    strongest = max(family["scores"], key=lambda score: score["value"], default=None)
    return {
        "name": family["name"],
        "question": _FAMILIES[family["name"]],
        "verdict": words,
        "limit": _limit(family) if rows else "none may be found",
        "strongest": f"{strongest['name']}: {score_row(strongest)['value']}" if strongest else "",
        "advice": family["advice"] or "",
        "scores": rows + [score_row(score) for score in family["details"]],
    }


def _limit(family: dict) -> str:
    if family["fails_above"] == family["limit"]:
        return f"{family['limit']:g}"
    return f"fails above {family['fails_above']:g}, passes below {family['limit']:g}"


def score_row(score: dict) -> dict[str, str]:
    """A score as a table shows it."""
    if score["value"] is None:
        return {**_BLANK, "name": score["name"], "value": f"not given: {score['reason']}"}
    interval = " ({:.3f} to {:.3f})".format(*score["interval"]) if score["interval"] else ""
    reference = ", ".join(f"{name} {value:.3f}" for name, value in score["reference"].items())
    return {
        "name": score["name"],
        "value": f"{score['value']:.3f}{interval}",
        "reference": reference,
        "direction": score["direction"],
        "n": f"{score['n']:,}",
        "meaning": score["meaning"],
    }


def by_target_and_metric(scores: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """The utility scores of each target and metric."""
    groups = defaultdict(list)
    for score in scores:
        groups[score["target"], score["metric"]].append(score)
    return groups


def different(key: str, scores: list[dict]) -> list[str]:
    """The values of `key`, each once, in the order of the report."""
    return list(dict.fromkeys(score[key] for score in scores))
