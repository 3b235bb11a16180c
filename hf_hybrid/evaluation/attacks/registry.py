"""The attacks that a report makes, in its order."""

from hf_hybrid.evaluation.attacks.attribute_inference import AttributeInferenceAttack
from hf_hybrid.evaluation.attacks.base import Attack
from hf_hybrid.evaluation.attacks.classifier import ClassifierAttack
from hf_hybrid.evaluation.attacks.copies import CopyAttack
from hf_hybrid.evaluation.attacks.density_ratio import DensityRatioAttack
from hf_hybrid.evaluation.attacks.detail_copies import DetailCopyAttack
from hf_hybrid.evaluation.attacks.distance import DistanceAttack
from hf_hybrid.evaluation.attacks.embedded_copies import EmbeddedCopyAttack
from hf_hybrid.evaluation.attacks.feature_distance import FeatureDistanceAttack
from hf_hybrid.evaluation.attacks.linkability import LinkabilityAttack
from hf_hybrid.evaluation.attacks.singling_out import SinglingOutAttack

ATTACKS: tuple[type[Attack], ...] = (
    CopyAttack,
    EmbeddedCopyAttack,
    DetailCopyAttack,
    DistanceAttack,
    FeatureDistanceAttack,
    DensityRatioAttack,
    ClassifierAttack,
    AttributeInferenceAttack,
    SinglingOutAttack,
    LinkabilityAttack,
)
