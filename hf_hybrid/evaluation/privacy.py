"""Privacy of a release: every attack on training and on held-out patients, and the verdict of each family."""

from dataclasses import replace

from hf_hybrid.core.families import FAMILIES, Family, Limit, Verdict
from hf_hybrid.core.report import Privacy
from hf_hybrid.evaluation.attacks.base import ClosestPair, judged
from hf_hybrid.evaluation.attacks.registry import ATTACKS
from hf_hybrid.evaluation.attacks.screening import screen
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.evaluation.comparison import Comparison
from hf_hybrid.evaluation.options import PrivacyLimits


def measure_privacy(comparison: Comparison) -> tuple[Privacy, list[ClosestPair]]:
    """The part `privacy` of a report without the family `files`; and the closest pairs, which are not in it."""
    spaces, limits = AttackSpaces(comparison), limits_of(comparison.options.privacy)
    tests = {name: [] for name in limits}
    curves, pairs = [], []
    for attack in ATTACKS:
        comparison.tell(attack.name)
        found = attack().run(spaces)
        tests[attack.family] += found.tests
        curves += found.curves
        pairs += [replace(one, train=int(spaces.training_patients.learned[one.train])) for one in found.closest_pairs]
    families = tuple(judged(name, tests[name], limit) for name, limit in limits.items())
    return Privacy(families, screen(spaces), tuple(curves)), pairs


def limits_of(options: PrivacyLimits) -> dict[str, Limit]:
    """The limit of each family of attacks, as the publisher set it; copies fail significantly above 0."""
    chosen = {name.replace("_", " "): limit for name, limit in vars(options).items()}
    del chosen["membership above chance"]  # of single attacks of a family
    return {name: Limit(0.0 if name == "copies" else limit, limit) for name, limit in chosen.items()}


def files_family(leaks: list[str]) -> Family:
    """The family `files`: what the files contain besides records.

    Args:
        leaks: what was found, see `audit.find_leaks`.
    """
    limit = Limit(FAMILIES["files"].limit, FAMILIES["files"].limit)
    return Family("files", Verdict("fail" if leaks else "pass", tuple(leaks)), limit)
