"""Linkability: does the release reveal which image and row, or which halves of a row, belong together?"""

import numpy as np

from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.evaluation.attacks.base import Attack, AttackResult, rate_test, rates_by_patient
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces, side_by_side
from hf_hybrid.metrics.reidentification import NUM_LINKED, linked, nearest_records


class LinkabilityAttack(Attack):
    """Both parts of a record are linked if the same synthetic record is nearest to both."""

    name = "linkability"
    family = "linkability"
    citation = "Giomi et al. 2023, anonymeter, arXiv:2211.10459"

    def run(self, spaces: AttackSpaces) -> AttackResult:
        """Attacks training patients and held-out patients."""
        tests = []
        for name, parts in _parts(spaces).items():
            hits = [linked(*(nearest_records(one[side], one[0], NUM_LINKED) for one in parts)) for side in (1, 2)]
            meaning = f"both lie nearest to one synthetic record, which links them: {name}"
            tests.append(rate_test(name, rates_by_patient(spaces, *hits), meaning))
        return AttackResult(tests)


def _parts(spaces: AttackSpaces) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """Pairs of parts of a record, by name: features of release, training and held-out patients each."""
    parts = {"image and row": (spaces.images, [side_by_side(cells) for cells in spaces.cells])}
    names = numpy_generator(0, "attack: halves of a row").permutation(list(spaces.schema.table))
    if len(names) > 1:
        parts["halves of a row"] = tuple(
            [np.concatenate([cells[name] for name in half], axis=1) for cells in spaces.cells]
            for half in np.array_split(names, 2)
        )
    return parts
