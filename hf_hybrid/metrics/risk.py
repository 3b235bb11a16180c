"""Risk: how much better an attack does on training than on held-out patients, and the resulting verdict.

A patient is the unit of every interval. `bounds(z)` of a risk gives both ends at `z` standard normal deviations, so
that one number serves every level that a correction for several tests may ask for; `bounds(z, num_held_out)` says how
they would be with another number of held-out patients and the same training patients.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.stats import beta, norm

from hf_hybrid.core.families import Limit, Verdict
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights

LEVEL = 0.025  # one-sided: the ends of a 95 % interval
# A failed release cannot be pushed at all: one safe release in a thousand may fail, not one in forty.
FAIL_LEVEL = 0.001
MIN_PATIENTS, MIN_REPLICATES = 10, 20  # fewer give no reliable spread
UNKNOWN = (-1.0, 1.0)  # bounds where nothing is known
MOST_PATIENTS = 10_000_000  # held-out patients: what these do not settle, no number does
_Z = float(norm.isf(LEVEL))
NEVER_SETTLED = Verdict("inconclusive", is_settled_by_patients=False)
_MAX_Z = 40.0


class Risk(Protocol):
    """A number with bounds; 0 if nothing is revealed.

    Attributes:
        value: at most 1.
        num_held_out: number of held-out patients behind it; None if they do not affect it.
    """

    value: float
    num_held_out: int | None

    def bounds(self, z: float, num_held_out: int | None = None) -> tuple[float, float]:
        """Lower and upper end at `z` standard normal deviations, if there were `num_held_out` held-out patients."""


@dataclass(frozen=True)
class RateRisk:
    """(training - held_out) / (1 - held_out), of how often an attack succeeds; as anonymeter defines a risk.

    Giomi et al. 2023 (arXiv 2211.10459, equation 2), but not cut at 0. Bounds by Newcombe 1998 (Statist. Med. 17, 873,
    method 10): they hold for few patients and for no hits at all, where resampling shows no spread.

    Args:
        training: share of successes of each training patient, `(num_training,)`, from 0 to 1.
        held_out: the same of held-out patients.
    """

    training: np.ndarray
    held_out: np.ndarray

    @property
    def rates(self) -> tuple[float, float]:
        """Mean success among training patients and among held-out patients."""
        return float(np.mean(self.training)), float(np.mean(self.held_out))

    @property
    def num_held_out(self) -> int:
        """Number of held-out patients."""
        return len(self.held_out)

    @property
    def value(self) -> float:
        """The risk."""
        training, held_out = self.rates
        return self._scaled(training - held_out)

    def bounds(self, z: float, num_held_out: int | None = None) -> tuple[float, float]:
        """Lower and upper end at `z` standard normal deviations."""
        training, held_out = self.rates
        if held_out == 1:  # an attack that always succeeds reveals nothing
            return UNKNOWN
        low, high = wilson(training, len(self.training), z)
        other_low, other_high = wilson(held_out, num_held_out or len(self.held_out), z)
        down, up = math.hypot(training - low, other_high - held_out), math.hypot(high - training, held_out - other_low)
        return self._scaled(training - held_out - down), min(self._scaled(training - held_out + up), 1.0)

    def resampled(self, num_bootstraps: int) -> "EstimatedRisk":
        """The same risk with the spread of shares, which is smaller than that of yes and no.

        Args:
            num_bootstraps: replicates, drawn over patients.
        """
        weights = (
            bootstrap_weights(np.arange(len(side)), num_bootstraps, seed)
            for seed, side in enumerate((self.training, self.held_out))
        )
        training, held_out = (
            one @ side / len(side) for one, side in zip(weights, (self.training, self.held_out), strict=True)
        )
        of_training = float(np.std(_risk(training - self.rates[1], np.full_like(training, self.rates[1]))))
        estimate = Estimate(self.value, _risk(training - held_out, held_out))
        return EstimatedRisk(estimate, self.num_held_out, of_training)

    def _scaled(self, difference: float) -> float:
        return float(_risk(difference, self.rates[1]))


@dataclass(frozen=True)
class EstimatedRisk:
    """A bootstrap estimate as a risk; bounds are normal, from the spread of its replicates.

    Args:
        estimate: 0 if nothing is revealed.
        num_held_out: number of held-out patients behind it; None if they do not affect it.
        training_spread: the part of the spread that is due to the training patients, which more held-out patients
            would not reduce; None: not known.
    """

    estimate: Estimate
    num_held_out: int | None
    training_spread: float | None = None

    @property
    def value(self) -> float:
        """The risk."""
        return self.estimate.value

    def bounds(self, z: float, num_held_out: int | None = None) -> tuple[float, float]:
        """Lower and upper end at `z` standard normal deviations."""
        if (self.num_held_out or MIN_PATIENTS) < MIN_PATIENTS or len(self.estimate.replicates) < MIN_REPLICATES:
            return UNKNOWN
        spread = self._spread
        if num_held_out and self.num_held_out and self.training_spread is not None:
            fixed = min(self.training_spread, spread) ** 2
            spread = math.sqrt(fixed + (spread**2 - fixed) * self.num_held_out / num_held_out)
        return self.value - z * spread, min(self.value + z * spread, 1.0)

    @cached_property
    def _spread(self) -> float:
        return float(np.nanstd(self.estimate.replicates))


def _risk(difference: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """A difference as a share of the possible gain; 0 if none is possible."""
    left = 1 - np.asarray(held_out)
    return np.where(left > 0, difference / np.where(left > 0, left, 1), 0.0)


@dataclass(frozen=True)
class ObservedRisk:
    """A risk that was counted and not estimated: its bounds are its value."""

    value: float
    num_held_out: int

    def bounds(self, z: float, num_held_out: int | None = None) -> tuple[float, float]:
        """The value twice."""
        return self.value, self.value


@dataclass(frozen=True)
class CoincidenceRisk(RateRisk):
    """The rate of training patients whose own row is in the release, against rows that are equal by chance.

    A row is a patient's own if no other real patient has it. The control is real people, whose columns depend on each
    other as they do: by Good and Turing (Good 1953, doi:10.1093/biomet/40.3-4.237), a record drawn from the population
    has one of the N rows that were seen once with the probability 2 N2 / N, where N2 is the number of rows seen twice.
    So hits among the training patients and `coincidences` (N2, and hits among held-out patients) are Poisson counts
    whose ratio is known for a release that copies nobody, and the first is binomial given their sum (Przyborowski and
    Wilenski 1940, doi:10.1093/biomet/31.3-4.313).

    Args:
        training: see `RateRisk`.
        held_out: likewise.
        coincidences: equal rows of two real patients, and held-out patients whose own row is in the release.
        share: the share of hits among hits and coincidences that is expected of a release that copies nobody.
    """

    coincidences: int
    share: float

    @property
    def by_chance(self) -> float:
        """The rate among training patients that the coincidences lead one to expect."""
        return self.coincidences * self.share / (1 - self.share) / len(self.training)

    def bounds(self, z: float, num_held_out: int | None = None) -> tuple[float, float]:
        """Lower and upper end; the lower one is the rate of hits that is more than the coincidences explain."""
        low, high = super().bounds(z, num_held_out)
        hits = int(np.count_nonzero(self.training))
        if not hits or (low, high) == UNKNOWN:
            return min(low, 0.0), high
        lowest = float(beta.ppf(norm.sf(z), hits, self.coincidences + 1))  # Clopper and Pearson
        explained = self.share / (1 - self.share) * (1 - lowest) / max(lowest, 1e-300)
        surely = self.rates[0] * (1 - explained)
        return (min(surely, self.value) if surely > 0 else min(low, 0.0)), high


def interval(risk: Risk) -> tuple[float, float]:
    """The 95 % interval of a risk."""
    return risk.bounds(_Z)


def wilson(rate: float, count: int, z: float) -> tuple[float, float]:
    """Wilson's interval of a proportion `rate` among `count`, at `z` standard normal deviations."""
    centre, scale = rate + z**2 / (2 * count), 1 + z**2 / count
    half = z * math.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


def judge(
    risks: Mapping[str, Risk],
    limit: Limit,
    details: Mapping[str, Risk] | None = None,
    own_limits: Mapping[str, Limit] | None = None,
) -> Verdict:
    """Fails if a Holm-corrected lower bound is above the limit, passes if every upper bound is below it.

    Holm 1979 (Scand. J. Stat. 6, 65): the risks are tested from the most to the least significant, each at
    `FAIL_LEVEL` divided by the number of those left. To pass, all must be below the limit, each at the full level: no
    correction is needed for that (Berger 1982, doi:10.1080/00401706.1982.10487790).

    Args:
        risks: by name.
        limit: limit of all of them.
        details: parts of the risks, each less precise: one may fail the family, none keeps it from passing.
        own_limits: limits of those risks that have another one.
    """
    every, limits = {**risks, **(details or {})}, own_limits or {}
    assert len(every) == len(risks) + len(details or {}), "expected different names of risks"
    names = list(every)
    certainties = [_certainty(risk, limits.get(name, limit).fail_above) for name, risk in every.items()]
    failed = []
    for place, position in enumerate(np.argsort(certainties)[::-1]):
        if certainties[position] <= norm.isf(FAIL_LEVEL / (len(certainties) - place)):
            break
        failed.append(int(position))
    if failed:
        return Verdict("fail", tuple(names[position] for position in sorted(failed)))
    open_ = [
        (risk, limits.get(name, limit))
        for name, risk in risks.items()
        if not interval(risk)[1] < limits.get(name, limit).pass_below  # NaN must not pass
    ]
    if not open_:
        return Verdict("pass")
    needed = [patients_needed(*one) for one in open_]
    if None in needed:
        return Verdict("inconclusive")
    return Verdict("inconclusive", patients_needed=max(needed)) if max(needed) < math.inf else NEVER_SETTLED


def _certainty(risk: Risk, limit: float) -> float:
    """The largest z whose lower bound is above the limit; 0 if there is none."""
    if not risk.bounds(0.0)[0] > limit:
        return 0.0
    low, high = 0.0, _MAX_Z
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if risk.bounds(middle)[0] > limit else (low, middle)
    return low


def patients_needed(risk: Risk, limit: Limit) -> float | None:
    """The number of held-out patients at which the interval would exclude the limit, with the same training patients.

    Returns:
        None if not known; infinity if no number would do: the training patients alone leave it open.
    """
    is_divided = getattr(risk, "training_spread", 0.0) is not None  # which part more patients would reduce
    if interval(risk) == UNKNOWN or math.isnan(risk.value) or not (is_divided or risk.num_held_out is None):
        return None

    certain = float(norm.isf(FAIL_LEVEL))

    def is_settled(num_held_out: int | None) -> bool:
        passes = risk.bounds(_Z, num_held_out)[1] < limit.pass_below
        return passes or risk.bounds(certain, num_held_out)[0] > limit.fail_above

    if risk.num_held_out is None or not is_settled(MOST_PATIENTS):
        return math.inf
    low, high = risk.num_held_out, MOST_PATIENTS  # more patients never widen an interval
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_settled(middle) else (middle, high)
    return high
