"""Risk: how much better an attack does on training than on held-out patients, and the resulting verdict.

A patient is the unit of every interval. `bounds(z)` of a risk gives both ends at `z` standard normal deviations, so
that one number serves every level that a correction for several tests may ask for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.stats import norm

from hf_hybrid.core.families import Limit, Verdict
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights

LEVEL = 0.025  # one-sided: the ends of a 95 % interval
# A failed release cannot be pushed at all: one safe release in a thousand may fail, not one in forty.
FAIL_LEVEL = 0.001
MIN_PATIENTS, MIN_REPLICATES = 10, 20  # fewer give no reliable spread
UNKNOWN = (-1.0, 1.0)  # bounds where nothing is known
_Z = float(norm.isf(LEVEL))
_MAX_Z = 40.0


class Risk(Protocol):
    """A number with bounds; 0 if nothing is revealed.

    Attributes:
        value: at most 1.
        num_unseen: number of held-out patients behind it.
    """

    value: float
    num_unseen: int

    def bounds(self, z: float) -> tuple[float, float]:
        """Lower and upper end at `z` standard normal deviations."""


@dataclass(frozen=True)
class RateRisk:
    """(members - unseen) / (1 - unseen), of how often an attack succeeds; as anonymeter defines a risk.

    Giomi et al. 2023 (arXiv 2211.10459, equation 2), but not cut at 0. Bounds by Newcombe 1998 (Statist. Med. 17, 873,
    method 10): they hold for few patients and for no hits at all, where resampling shows no spread.

    Args:
        members: share of successes of each training patient, `(num_members,)`, from 0 to 1.
        unseen: the same of held-out patients.
    """

    members: np.ndarray
    unseen: np.ndarray

    @property
    def rates(self) -> tuple[float, float]:
        """Mean success among members and among held-out patients."""
        return float(np.mean(self.members)), float(np.mean(self.unseen))

    @property
    def num_unseen(self) -> int:
        """Number of held-out patients."""
        return len(self.unseen)

    @property
    def value(self) -> float:
        """The risk."""
        member, unseen = self.rates
        return self._scaled(member - unseen)

    def bounds(self, z: float) -> tuple[float, float]:
        """Lower and upper end at `z` standard normal deviations."""
        member, unseen = self.rates
        if unseen == 1:  # an attack that always succeeds reveals nothing
            return UNKNOWN
        (low, high), (other_low, other_high) = (
            wilson(rate, len(side), z) for rate, side in ((member, self.members), (unseen, self.unseen))
        )
        down, up = math.hypot(member - low, other_high - unseen), math.hypot(high - member, unseen - other_low)
        return self._scaled(member - unseen - down), min(self._scaled(member - unseen + up), 1.0)

    def resampled(self, num_bootstraps: int) -> "EstimatedRisk":
        """The same risk with the spread of shares, which is smaller than that of yes and no.

        Args:
            num_bootstraps: replicates, drawn over patients.
        """
        weights = (
            bootstrap_weights(np.arange(len(side)), num_bootstraps, seed)
            for seed, side in enumerate((self.members, self.unseen))
        )
        member, unseen = (
            one @ side / len(side) for one, side in zip(weights, (self.members, self.unseen), strict=True)
        )
        return EstimatedRisk(Estimate(self.value, _risk(member - unseen, unseen)), self.num_unseen)

    def _scaled(self, difference: float) -> float:
        return float(_risk(difference, self.rates[1]))


@dataclass(frozen=True)
class EstimatedRisk:
    """A bootstrap estimate as a risk; bounds are normal, from the spread of its replicates.

    Args:
        estimate: 0 if nothing is revealed.
        num_unseen: number of held-out patients behind it; None if they do not affect it.
    """

    estimate: Estimate
    num_unseen: int | None

    @property
    def value(self) -> float:
        """The risk."""
        return self.estimate.value

    def bounds(self, z: float) -> tuple[float, float]:
        """Lower and upper end at `z` standard normal deviations."""
        if (self.num_unseen or MIN_PATIENTS) < MIN_PATIENTS or len(self.estimate.replicates) < MIN_REPLICATES:
            return UNKNOWN
        return self.value - z * self._spread, min(self.value + z * self._spread, 1.0)

    @cached_property
    def _spread(self) -> float:
        return float(np.nanstd(self.estimate.replicates))


def _risk(difference: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """A difference as a share of the possible gain; 0 if none is possible."""
    left = 1 - np.asarray(unseen)
    return np.where(left > 0, difference / np.where(left > 0, left, 1), 0.0)


@dataclass(frozen=True)
class ObservedRisk:
    """A risk that was counted and not estimated: its bounds are its value."""

    value: float
    num_unseen: int

    def bounds(self, z: float) -> tuple[float, float]:
        """The value twice."""
        return self.value, self.value


def interval(risk: Risk) -> tuple[float, float]:
    """The 95 % interval of a risk."""
    return risk.bounds(_Z)


def wilson(rate: float, count: int, z: float) -> tuple[float, float]:
    """Wilson's interval of a proportion `rate` among `count`, at `z` standard normal deviations."""
    centre, scale = rate + z**2 / (2 * count), 1 + z**2 / count
    half = z * math.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


def judge(risks: Mapping[str, Risk], limit: Limit, details: Mapping[str, Risk] | None = None) -> Verdict:
    """Fails if a Holm-corrected lower bound is above the limit, passes if every upper bound is below it.

    Holm 1979 (Scand. J. Stat. 6, 65): the risks are tested from the most to the least significant, each at
    `FAIL_LEVEL` divided by the number of those left. To pass, all must be below the limit, each at the full level: no
    correction is needed for that (Berger 1982, doi:10.1080/00401706.1982.10487790).

    Args:
        risks: by name.
        limit: limit of all of them.
        details: parts of the risks, each less precise: one may fail the family, none keeps it from passing.
    """
    every = {**risks, **(details or {})}
    assert len(every) == len(risks) + len(details or {}), "expected different names of risks"
    names, certainties = list(every), [_certainty(risk, limit.fail_above) for risk in every.values()]
    failed = []
    for place, position in enumerate(np.argsort(certainties)[::-1]):
        if certainties[position] <= norm.isf(FAIL_LEVEL / (len(certainties) - place)):
            break
        failed.append(int(position))
    if failed:
        return Verdict("fail", tuple(names[position] for position in sorted(failed)))
    open_ = [risk for risk in risks.values() if not interval(risk)[1] < limit.pass_below]  # NaN must not pass
    if not open_:
        return Verdict("pass")
    needed = [_patients_needed(risk, limit) for risk in open_]
    return Verdict("inconclusive", patients_needed=None if None in needed else max(needed))


def _certainty(risk: Risk, limit: float) -> float:
    """The largest z whose lower bound is above the limit; 0 if there is none."""
    if not risk.bounds(0.0)[0] > limit:
        return 0.0
    low, high = 0.0, _MAX_Z
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if risk.bounds(middle)[0] > limit else (low, middle)
    return low


def _patients_needed(risk: Risk, limit: Limit) -> int | None:
    """The number of held-out patients at which the interval would exclude the limit, if both sides grew alike."""
    low, high = interval(risk)
    if (low, high) == UNKNOWN or risk.num_unseen is None:
        return None
    if risk.value < limit.pass_below:
        factor = (high - risk.value) / (limit.pass_below - risk.value)
    elif risk.value > limit.fail_above:
        factor = (risk.value - low) / (risk.value - limit.fail_above) * float(norm.isf(FAIL_LEVEL)) / _Z
    else:
        return None
    return math.ceil(risk.num_unseen * factor**2)
