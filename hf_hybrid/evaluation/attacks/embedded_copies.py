"""Copies of images in a self-supervised embedding, where a copy stays near even if its pixels have changed."""

from hf_hybrid.evaluation.attacks.base import Attack, AttackResult, rate_test, rates_by_patient
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.metrics.copies import near_threshold
from hf_hybrid.metrics.membership import nearest_distances
from hf_hybrid.models.image_encoder import ImageEncoder


class EmbeddedCopyAttack(Attack):
    """The embedding is learned from the release, so that it treats training and held-out patients alike."""

    name = "copies in an embedding"
    family = "copies"
    citation = "Dar et al. 2024, arXiv:2402.01054"

    def run(self, spaces: AttackSpaces) -> AttackResult:
        """Attacks training patients and held-out patients."""
        encoder = ImageEncoder().fit(spaces.synthetic.pixels)
        library, *real = (encoder.embed(one.pixels) for one in spaces.sets)
        limit = near_threshold(nearest_distances(real[1], real[0]), spaces.multiple)
        rates = rates_by_patient(spaces, *(nearest_distances(side, library) <= limit for side in real))
        meaning = "an image of the release is theirs to a network that looks past crops, shifts and grey values"
        return AttackResult([rate_test("near copy: image, self-supervised", rates, meaning)])
