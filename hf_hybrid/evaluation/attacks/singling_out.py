"""Singling out: predicates that are true of one synthetic record and of exactly one patient."""

from hf_hybrid.core.scores import HELD_OUT, Score
from hf_hybrid.evaluation.attacks.base import LOWER, Attack, AttackResult, Test
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.metrics.reidentification import singling_out
from hf_hybrid.metrics.risk import EstimatedRisk, interval


class SinglingOutAttack(Attack):
    """The reference is predicates of a Gaussian copula, tested on the same training patients."""

    name = "singling out"
    family = "singling out"
    citation = "Giomi et al. 2023, anonymeter, arXiv:2211.10459"

    def run(self, spaces: AttackSpaces) -> AttackResult:
        """Attacks training patients; the rate among held-out patients is shown beside it."""
        sides = [(one.frame.reset_index(drop=True), one.groups) for one in spaces.sets[1:]]
        estimate, rates = singling_out(
            spaces.synthetic.frame, spaces.baseline.frame, *sides, spaces.schema, spaces.options.bootstraps
        )
        risk = EstimatedRisk(estimate, None)  # of training patients alone
        meaning = "a description that fits one synthetic record fits exactly one training patient"
        names = ("of the release", "of a Gaussian copula", HELD_OUT)
        reference = dict(zip(names, rates, strict=True))
        score = Score(
            *("descriptions", risk.value, interval(risk), LOWER, (None, 1.0)), spaces.num_patients, reference, meaning
        )
        return AttackResult([Test(risk, score)])
