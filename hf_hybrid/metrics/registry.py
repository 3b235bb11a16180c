"""The fidelity metrics of a report, in its order; a new one is a class with its facts and a line here."""

from hf_hybrid.metrics.base import FidelityMetric
from hf_hybrid.metrics.fidelity import ColumnShapes, MissingShares, PairTrends, ThreeWayShares
from hf_hybrid.metrics.image_fidelity import FrechetDistance, KernelDistance, ManifoldScores

TABLE_METRICS: tuple[type[FidelityMetric], ...] = (ColumnShapes, PairTrends, ThreeWayShares, MissingShares)
IMAGE_METRICS: tuple[type[FidelityMetric], ...] = (FrechetDistance, KernelDistance, ManifoldScores)
