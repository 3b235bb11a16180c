"""Privacy of a release: every attack on patients learned from and on unseen ones, and what each family decides.

An attacker holds the release and what he knows of some person; nothing here uses the model. All feature spaces are
laid out by the release itself, so that patients learned from have no part in them that unseen ones have not.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, poisson

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.report import MEMBERS, UNSEEN, Score
from hf_hybrid.core.verdicts import VERDICTS
from hf_hybrid.data import privacy_rule
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.copies import (
    EXACT_IMAGE,
    EXACT_ROW,
    Nearest,
    RowSpace,
    chance_of_rows,
    near_threshold,
    near_thresholds,
    nearest,
)
from hf_hybrid.metrics.curves import histograms, roc_curves
from hf_hybrid.metrics.estimates import Estimate
from hf_hybrid.metrics.membership import (
    ATTACKS,
    attack_auc,
    attack_scores,
    by_patient,
    lowest_false_positives,
    nearest_distances,
)
from hf_hybrid.metrics.reidentification import (
    NUM_LINKED,
    guessed_right,
    linked,
    mean_by_patient,
    nearest_records,
    singling_out,
)
from hf_hybrid.metrics.risk import FAIL_LEVEL, EstimatedRisk, Limit, ObservedRisk, RateRisk, Risk, interval, judge
from hf_hybrid.models.image_encoder import ImageEncoder
from hf_hybrid.samplers.base import LatentRows
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.samplers.transform import TableTransform
from hf_hybrid.samplers.validation import joint_features

TOGETHER = 100  # times as likely as if columns had nothing to do with each other may an equal row be
PAIRS_SHOWN = 8  # of images and of rows
_LOWER, _HIGHER = "lower is better", "higher is better"
_ADVICE = {
    "copies": "use a sampler that copies less (fewer steps, the copula), or train on more patients",
    "membership": "use a sampler that remembers less: fewer steps, more shrinkage, the copula",
    "attribute inference": "leave the columns named out, coarsen them, or use a sampler that remembers less",
    "singling out": "coarsen rare combinations: merge categories, round numbers, trim bounds",
    "linkability": "use a sampler that remembers less: fewer steps, more shrinkage, the copula",
    "files": "remove what was found from the source columns and make the release again",
}


@dataclass(frozen=True)
class Test:
    """One risk and how a reader sees it; `is_detail` as `judge` understands it."""

    risk: Risk
    score: Score
    is_detail: bool = False


@dataclass(frozen=True)
class ClosestPair:
    """A training record and the synthetic one that is nearest to it: for the publisher's eyes only.

    Args:
        part: what is near, `image` or `row`.
        train: number of the training record.
        synthetic: number of the synthetic one.
        distance: as a multiple of that of a near copy.
    """

    part: str
    train: int
    synthetic: int
    distance: float


def score_privacy(comparison: Comparison) -> tuple[dict, list[ClosestPair]]:
    """The part `privacy` of a report, without what only files can show; and the closest pairs, which are no part."""
    attacked = _Attacked(comparison)
    limits = comparison.options.privacy
    comparison.tell("copies")
    families = [family_of("copies", attacked.copies(), Limit(0.0, limits.copies))]
    for name, tests, limit in (
        ("membership", attacked.membership, limits.membership),
        ("attribute inference", attacked.attribute_inference, limits.attribute_inference),
        ("singling out", attacked.singling_out, limits.singling_out),
        ("linkability", attacked.linkability, limits.linkability),
    ):
        comparison.tell(name)
        families.append(family_of(name, tests(), Limit(limit, limit)))
    section = {
        "status": "measured",
        **overall(families),
        "screening": [one.to_dict() for one in attacked.screening()],
        "curves": attacked.curves,
    }
    return section, attacked.closest_pairs


def files_family(leaks: list[str]) -> dict:
    """The family of what files hold beside records.

    Args:
        leaks: what was found, see `audit.find_leaks`.
    """
    return {
        "name": "files",
        "verdict": "fail" if leaks else "pass",
        "fails_above": 0.0,
        "limit": 0.0,
        "failed": leaks,
        "patients_needed": None,
        "advice": _ADVICE["files"] if leaks else None,
        "scores": [],
        "details": [],
    }


def overall(families: list[dict]) -> dict:
    """The families and the verdict over all: that of the worst."""
    return {"verdict": min((one["verdict"] for one in families), key=VERDICTS.index), "families": families}


def family_of(name: str, tests: list[Test], limit: Limit) -> dict:
    """A family as a report holds it: its tests and what they decide."""
    whole, details = ([test for test in tests if test.is_detail is detail] for detail in (False, True))
    verdict = judge([test.risk for test in whole], limit, [test.risk for test in details])
    tests = [*whole, *details]
    return {
        "name": name,
        "verdict": verdict.word,
        "fails_above": limit.fail_above,
        "limit": limit.pass_below,
        "failed": [tests[place].score.name for place in verdict.failed],
        "patients_needed": verdict.patients_needed,
        "advice": _ADVICE[name] if verdict.word == "fail" else None,
        "scores": [test.score.to_dict() for test in whole],
        "details": [test.score.to_dict() for test in details],
    }


class _Attacked:
    """The release, the patients learned from and the unseen ones, in the spaces in which they are compared.

    Attributes:
        sets: release, patients learned from, unseen patients.
        cells: `RowSpace.features` of each.
        images: principal components of the images of each, found on the release.
        records: components and cells of each, and of the control, as `joint_features` scales them.
        control: rows of a Gaussian copula that learned the same components and cells.
        curves: what charts show, found on the way.
        closest_pairs: likewise, for the publisher.
    """

    def __init__(self, comparison: Comparison) -> None:
        train = comparison.train
        schema = privacy_rule.protected(comparison.schema, train.frame, train.groups)
        self.schema, self.options = schema, comparison.options
        self.curves, self.closest_pairs = [], []
        self.sets = [
            EvaluationSet(one.pixels, privacy_rule.restrict(schema, one.frame), one.groups)
            for one in (comparison.synthetic, train, comparison.test)
        ]
        self.synthetic, self.train, self.unseen = self.sets
        space = RowSpace(schema, self.synthetic.frame)
        self.cells = [space.features(one.frame) for one in self.sets]
        pixels = [one.pixels for one in self.sets]
        components, real = predictors.image_components(pixels[0], np.concatenate(pixels[1:]), seed=0)
        self.images = [components, *np.split(real, [len(train)])]
        rows = [
            LatentRows(image.astype(np.float32), one.frame) for image, one in zip(self.images, self.sets, strict=True)
        ]
        copula = GaussianCopulaSampler().fit(rows[1].to_dataset(schema), schema, train.groups)
        self.control = LatentRows.from_dataset(copula.sample(len(self.synthetic), seed=0), schema)
        transform = TableTransform(schema).fit(rows[0].latents, rows[0].frame, np.arange(len(self.synthetic)))
        self.records = [joint_features(transform, one) for one in (*rows, self.control)]

    def copies(self) -> list[Test]:
        """Exact and near copies of images, rows and whole records."""
        library, *real = ((one.pixels, _beside(cells)) for one, cells in zip(self.sets, self.cells, strict=True))
        multiple = len(self.synthetic) / len(self.train)
        thresholds = near_thresholds(nearest(*real[1], *real[0]), multiple)
        found = [nearest(*side, *library, thresholds) for side in real]
        self._show_distances(found, thresholds)
        tests = []
        for name, limit in (("image", EXACT_IMAGE), ("row", EXACT_ROW)):
            rates = self._rates(*(getattr(one, name) <= limit for one in found))
            if name == "image" and rates.rates[1]:  # images of two people are never equal
                raise InputError(
                    "expected patients in `test` whose images the release does not know, found those of "
                    f"{np.count_nonzero(rates.unseen)} in it: it learned from them, or test and train are exchanged"
                )
            # Who of those learned from has a copy is counted, not estimated, unless such things happen by chance.
            counted = rates.rates[1] == 0 and (name == "image" or self._is_no_chance(found[0].row <= limit))
            risk = ObservedRisk(rates.value, rates.num_unseen) if counted else rates
            tests.append(_rate_test(f"exact copy: {name}", rates, f"the same {name} is in the release", risk))
        for name, limit, meaning in (
            ("image", thresholds[0], "the release has their image, perhaps mirrored, shifted, brighter or darker"),
            ("row", thresholds[1], "the release has their row, perhaps with small changes"),
            ("record", 1.0, "the release has their image and row in one record, perhaps with small changes"),
        ):
            tests.append(
                _rate_test(f"near copy: {name}", self._rates(*(getattr(one, name) <= limit for one in found)), meaning)
            )
        return [*tests, self._embedded_copies(multiple)]

    def _embedded_copies(self, multiple: float) -> Test:
        """Dar et al. 2024: the embedding is learned from the release, so that both sides are strangers to it."""
        encoder = ImageEncoder().fit(self.synthetic.pixels)
        library, *real = (encoder.embed(one.pixels) for one in self.sets)
        limit = near_threshold(nearest_distances(real[1], real[0]), multiple)
        rates = self._rates(*(nearest_distances(side, library) <= limit for side in real))
        meaning = "an image of the release is theirs to a network that looks past crops, shifts and grey values"
        return _rate_test("near copy: image, self-supervised", rates, meaning)

    def _show_distances(self, found: list[Nearest], thresholds: tuple[float, float]) -> None:
        """Histograms of the nearest distances, and the pairs behind the smallest."""
        for part, threshold in zip(("image", "row"), thresholds, strict=True):
            sides = [getattr(one, part) / threshold for one in found]
            groups = (one.groups for one in self.sets[1:])
            self.curves.append(histograms(f"nearest {part}", *sides, groups, self.schema.min_patients))
            nearest_first, match = np.argsort(sides[0], kind="stable"), getattr(found[0], f"{part}_match")
            _, first_of_patient = np.unique(self.train.groups[nearest_first], return_index=True)
            self.closest_pairs += [
                ClosestPair(part, int(row), int(match[row]), round(float(sides[0][row]), 4))
                for row in nearest_first[np.sort(first_of_patient)[:PAIRS_SHOWN]]
            ]

    def _is_no_chance(self, hit: np.ndarray) -> bool:
        """Whether so many rows that are equal cannot have come about by chance."""
        # A patient counts once, and so do her rows that are alike.
        rows = self.train.frame.map(str).assign(patient=self.train.groups)
        chance = chance_of_rows(self.synthetic.frame, self.train.frame)[~rows.duplicated().to_numpy()]
        patients = len(np.unique(self.train.groups[hit]))
        return bool(patients) and poisson.sf(patients - 1, TOGETHER * len(self.synthetic) * chance.sum()) < FAIL_LEVEL

    def membership(self) -> list[Test]:
        """AUC of each attack above that of the same attack on the control."""
        dim, tests = self.images[0].shape[1], []
        for what, part in (("record", slice(None)), ("image", slice(dim)), ("row", slice(dim, None))):
            synthetic, train, unseen, control = (one[:, part] for one in self.records)
            attacks = ATTACKS if what == "record" else ATTACKS[:1]
            on_release, on_control = (
                attack_scores(train, self.train.groups, unseen, self.unseen.groups, one, attacks)
                for one in (synthetic, control)
            )
            for attack, scores in on_release.items():
                sides, floor_sides = (
                    [by_patient(side, one.groups) for side, one in zip(both, self.sets[1:], strict=True)]
                    for both in (scores, on_control[attack])
                )
                if what == "record":
                    sides_of = {"release": sides, "Gaussian copula": floor_sides}
                    self.curves.append(roc_curves(f"{attack.replace('_', ' ')} attack: {what}", sides_of))
                found, floor = (attack_auc(*both, self.options.bootstraps) for both in (sides, floor_sides))
                self._check_sides(found, floor)
                reference = {"AUC on the release": found.value, "AUC on a Gaussian copula": floor.value}
                if point := lowest_false_positives(*sides):
                    reference |= {"false positives": point[0], "true positives": point[1]}
                risk = EstimatedRisk(found.minus(floor), self.unseen.num_patients)
                meaning = "how much better an attacker tells who was learned from than from a Gaussian copula (AUC)"
                tests.append(self._test(f"{attack.replace('_', ' ')} attack: {what}", risk, reference, meaning))
        return tests

    def _check_sides(self, auc: Estimate, floor: Estimate) -> None:
        """A release that knows `test` better than `train`, as no control does, was evaluated with both exchanged."""
        chance = Estimate(0.5, np.full_like(auc.replicates, 0.5))
        reverse = [EstimatedRisk(one.minus(auc), self.unseen.num_patients) for one in (chance, floor)]
        if all(one.bounds(float(norm.isf(FAIL_LEVEL)))[0] > 0 for one in reverse):
            raise InputError(
                "expected a release that lies nearer to `train`, which it was learned from, found it nearer to `test` "
                f"(AUC {auc.value:.2f}): exchange them back"
            )

    def attribute_inference(self) -> list[Test]:
        """Guesses of every column from all others, without and with the image."""
        tests = []
        for known, weight in (("the other columns", 0.0), ("the image and the other columns", 1.0)):
            every = [[], []]
            images = [weight / image.shape[1] * image for image in self.images]
            for name, column in self.schema.table.items():
                library, *real = (
                    np.concatenate([image, *(cells[other] for other in cells if other != name)], axis=1)
                    for image, cells in zip(images, self.cells, strict=True)
                )
                shares = []
                for features, one, of_all in zip(real, self.sets[1:], every, strict=True):
                    match = nearest_records(features, library)[:, 0]
                    guess = self.synthetic.frame[name].iloc[match].reset_index(drop=True)
                    right, has_value = guessed_right(column, one.frame[name].reset_index(drop=True), guess)
                    shares.append(mean_by_patient(right[has_value], one.groups[has_value]))
                    of_all.append((right[has_value], one.groups[has_value]))
                if min(map(len, shares)) >= self.schema.min_patients:
                    meaning = f"{name} is guessed right from {known} and the release"
                    tests.append(_rate_test(f"{name} from {known}", RateRisk(*shares), meaning, is_detail=True))
            shares = [mean_by_patient(*map(np.concatenate, zip(*of_all, strict=True))) for of_all in every]
            rates, meaning = RateRisk(*shares), f"a cell is guessed right from {known} and the release"
            tests.append(
                _rate_test(f"any cell from {known}", rates, meaning, rates.resampled(self.options.bootstraps))
            )
        return tests

    def singling_out(self) -> list[Test]:
        """Predicates that single out one synthetic record."""
        sides = [(one.frame.reset_index(drop=True), one.groups) for one in self.sets[1:]]
        estimate, rates = singling_out(
            self.synthetic.frame, self.control.frame, *sides, self.schema, self.options.bootstraps
        )
        risk = EstimatedRisk(estimate, None)  # of the patients learned from alone
        meaning = "a description that fits one synthetic record fits exactly one patient learned from"
        names = ("of the release", "of a Gaussian copula", UNSEEN)
        return [self._test("descriptions", risk, dict(zip(names, rates, strict=True)), meaning)]

    def linkability(self) -> list[Test]:
        """Whether the release tells which image belongs to which row, and which half of a row to the other."""
        rows = [_beside(cells) for cells in self.cells]
        pairs = {"image and row": (self.images, rows)}
        names = np.random.default_rng(0).permutation(list(self.schema.table))
        if len(names) > 1:
            halves = np.array_split(names, 2)
            pairs["halves of a row"] = tuple(
                [np.concatenate([cells[name] for name in half], axis=1) for cells in self.cells] for half in halves
            )
        tests = []
        for name, spaces in pairs.items():
            hits = [linked(*(nearest_records(one[side], one[0], NUM_LINKED) for one in spaces)) for side in (1, 2)]
            meaning = f"both lie nearest to one synthetic record, which links them: {name}"
            tests.append(_rate_test(name, self._rates(*hits), meaning))
        return tests

    def screening(self) -> list[Score]:
        """Distances that are widely reported; they miss leaks that the attacks find, and decide nothing here."""
        synthetic, train, unseen, _ = self.records
        count = self.unseen.num_patients
        patients = np.random.default_rng(0).permutation(np.unique(self.train.groups))[:count]
        sides = train[np.isin(self.train.groups, patients)], unseen
        near, second = ([nearest_distances(synthetic, side, place) for side in sides] for place in (1, 2))
        ratios = [np.median(one / np.maximum(two, 1e-9)) for one, two in zip(near, second, strict=True)]
        meaning = "screening only: releases of copies pass it"
        closer = float((near[0] < near[1]).mean())
        return [
            Score("DCR share", closer, None, _LOWER, (0.0, 1.0), 2 * count, {"no difference": 0.5}, meaning),
            Score("NNDR", float(ratios[0]), None, _HIGHER, (0.0, 1.0), 2 * count, {UNSEEN: float(ratios[1])}, meaning),
        ]

    def _rates(self, members: np.ndarray, unseen: np.ndarray) -> RateRisk:
        """Share of each patient's records that were hit: of any of many, more would be hit by chance."""
        sides = zip((members, unseen), self.sets[1:], strict=True)
        return RateRisk(*(mean_by_patient(hit * 1.0, one.groups) for hit, one in sides))

    def _test(self, name: str, risk: Risk, reference: dict[str, float], meaning: str) -> Test:
        n = self.train.num_patients + self.unseen.num_patients
        return Test(risk, Score(name, risk.value, interval(risk), _LOWER, (None, 1.0), n, reference, meaning))


def _rate_test(name: str, rates: RateRisk, meaning: str, risk: Risk | None = None, is_detail: bool = False) -> Test:
    risk, n = risk or rates, len(rates.members) + len(rates.unseen)
    reference = dict(zip((MEMBERS, UNSEEN), rates.rates, strict=True))
    score = Score(name, risk.value, interval(risk), _LOWER, (None, 1.0), n, reference, meaning)
    return Test(risk, score, is_detail)


def _beside(cells: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate(list(cells.values()), axis=1)
