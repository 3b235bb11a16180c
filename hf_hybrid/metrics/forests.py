"""Random forests that learn on all cores and give the same numbers on any number of them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hf_hybrid.core.cores import num_cores

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier


def fit_forest(features: np.ndarray, labels: np.ndarray, **settings: Any) -> "RandomForestClassifier":
    """A forest fitted to `(n, d)` features and `(n,)` labels; `settings` as of scikit-learn's classifier."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(n_jobs=num_cores(), **settings).fit(features, labels)
    # Each tree has its own seed, but predictions are summed over trees: with threads, in an order that may change.
    return forest.set_params(n_jobs=1)
