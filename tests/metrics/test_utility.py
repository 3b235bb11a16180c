import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from hf_hybrid.core.errors import InputError
from hf_hybrid.metrics import estimates, utility
from hf_hybrid.metrics import predictions as scores_of


def test_auc_equals_sklearn_with_ties_and_weights():
    rng = np.random.default_rng(0)
    references, scores = rng.integers(0, 2, 200), rng.random(200).round(1)
    weights = rng.integers(0, 4, (20, 200))
    expected = [sklearn_metrics.roc_auc_score(references, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(scores_of.auc(references, scores, weights), expected, rtol=1e-12)


def test_auc_of_several_classes_and_of_labels_equals_sklearn():
    rng = np.random.default_rng(1)
    classes, labels = rng.integers(0, 3, 150), rng.integers(0, 2, (150, 3))
    scores = rng.dirichlet(np.ones(3), 150).round(2)
    scores[:, 0] = 1 - scores[:, 1] - scores[:, 2]
    weights = rng.integers(1, 4, (5, 150))
    macro = [
        sklearn_metrics.roc_auc_score(np.eye(3)[classes], scores, average="macro", sample_weight=row)
        for row in weights
    ]
    np.testing.assert_allclose(scores_of.auc(classes, scores, weights), macro, rtol=1e-12)
    by_label = [sklearn_metrics.roc_auc_score(labels, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(scores_of.auc(labels, scores, weights), by_label, rtol=1e-12)


def test_a_reversed_model_scores_below_one_half():
    references = np.array([0, 0, 0, 1, 1, 1])
    scores = np.array([0.9, 0.8, 0.4, 0.5, 0.2, 0.1])
    assert scores_of.auc(references, scores, np.ones((1, 6)))[0] == pytest.approx(1 / 9)


def test_other_scores_equal_sklearn():
    rng = np.random.default_rng(2)
    classes, decisions = rng.integers(0, 3, 100), rng.integers(0, 3, 100)
    labels, label_decisions = rng.integers(0, 2, (100, 2)), rng.integers(0, 2, (100, 2))
    numbers, predictions = rng.normal(1000, 1, 100), rng.normal(1000, 1, 100)
    weights = rng.integers(1, 4, (4, 100))
    balanced = sklearn_metrics.balanced_accuracy_score
    for row, found in zip(weights, scores_of.balanced_accuracy(classes, decisions, weights), strict=True):
        assert found == pytest.approx(balanced(classes, decisions, sample_weight=row))
    for row, found in zip(weights, scores_of.balanced_accuracy(labels, label_decisions, weights), strict=True):
        both = [balanced(labels[:, k], label_decisions[:, k], sample_weight=row) for k in range(2)]
        assert found == pytest.approx(np.mean(both))
    for row, found in zip(weights, scores_of.r2(numbers, predictions, weights), strict=True):
        assert found == pytest.approx(sklearn_metrics.r2_score(numbers, predictions, sample_weight=row))
    for row, found in zip(weights, scores_of.mae(numbers, predictions, weights), strict=True):
        assert found == pytest.approx(sklearn_metrics.mean_absolute_error(numbers, predictions, sample_weight=row))


def test_a_class_that_a_replicate_does_not_hold_is_left_out_of_that_replicate():
    references = np.array([0, 0, 1, 1, 2, 2])
    scores = np.array([[9, 1, 1], [8, 1, 5], [1, 5, 3], [2, 0, 4], [3, 2, 6], [2, 1, 2]]) / 10
    without_two = np.array([[1, 1, 1, 1, 0, 0]])
    two_classes = scores_of.auc(references[:4], scores[:4, :2], np.ones((1, 4)))
    assert scores_of.auc(references, scores, without_two) == two_classes
    decisions = np.array([0, 1, 1, 1, 0, 0])
    assert scores_of.balanced_accuracy(references, decisions, without_two) == 0.75
    one_class = np.array([[1, 1, 0, 0, 0, 0]])
    assert np.isnan(scores_of.auc(references, scores, one_class))
    assert np.isnan(scores_of.balanced_accuracy(references, decisions, one_class))
    assert np.isnan(scores_of.r2(np.full(6, 0.1), decisions, one_class))


def test_a_reference_of_no_class_is_a_negative_for_all():
    references, scores = np.array([0, 1, -1]), np.array([[0.9, 0.1], [0.5, 0.9], [0.7, 0.5]])
    assert scores_of.auc(references, scores, np.ones((1, 3)))[0] == 1
    assert scores_of.balanced_accuracy(references, np.array([0, 1, 0]), np.ones((1, 3)))[0] == 1


def test_the_bootstrap_draws_whole_patients():
    groups = np.array([7, 3, 7, 5, 3])
    weights = estimates.bootstrap_weights(groups, 50, seed=0)
    assert weights.shape == (50, 5)
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    np.testing.assert_array_equal(weights, estimates.bootstrap_weights(list("cacba"), 50, seed=0))
    assert (weights != estimates.bootstrap_weights(groups, 50, seed=1)).any()


def test_the_interval_over_patients_is_wider_where_their_records_are_alike():
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(40), 8)
    references = np.repeat(rng.integers(0, 2, 40), 8)
    scores = references + np.repeat(rng.normal(0, 1.5, 40), 8) + rng.normal(0, 0.1, 320)
    metric = utility.RocAuc()
    by_patient = metric.compute(predictions=scores, references=references, groups=patients)
    by_record = metric.compute(predictions=scores, references=references)
    assert by_patient["auc"] == by_record["auc"]
    widths = [np.diff(result["interval"])[0] for result in (by_patient, by_record)]
    assert widths[0] > 2 * widths[1]
    assert (by_patient["n"], by_patient["n_patients"], by_record["n_patients"]) == (320, 40, 320)


def test_blocks_of_replicates_give_what_all_at_once_give(monkeypatch):
    rng = np.random.default_rng(4)
    references, scores = rng.integers(0, 2, 30), rng.random(30)
    weights = estimates.bootstrap_weights(np.arange(30), 25, seed=0)
    whole = estimates.Estimate.of(scores_of.auc, references, scores, weights)
    monkeypatch.setattr(estimates, "_BLOCK_CELLS", 100)
    blocks = estimates.Estimate.of(scores_of.auc, references, scores, weights)
    np.testing.assert_array_equal(whole.replicates, blocks.replicates)
    assert whole.value == sklearn_metrics.roc_auc_score(references, scores)


def test_differences_are_paired_and_means_go_over_seeds():
    one, other = estimates.Estimate(0.8, np.array([0.7, 0.9])), estimates.Estimate(0.7, np.array([0.6, 0.8]))
    gap = one.minus(other)
    assert gap.interval == pytest.approx((0.1, 0.1))
    mean = estimates.Estimate.mean([one, other])
    assert mean.value == pytest.approx(0.75) and mean.replicates == pytest.approx([0.65, 0.85])
    assert estimates.Estimate(np.nan, np.full(3, np.nan)).interval is None


def test_a_share_needs_real_data_surely_above_the_floor():
    weak = estimates.Estimate(0.7, np.linspace(0.55, 0.85, 101))
    strong = estimates.Estimate(0.8, np.linspace(0.75, 0.85, 101))
    synthetic = estimates.Estimate(0.68, strong.replicates - 0.12)
    assert estimates.recover("auc", weak, synthetic) == estimates.Recovery(
        None, None, "the lower bound of auc with real data (0.56) is not above 0.6"
    )
    recovery = estimates.recover("auc", strong, synthetic)
    assert recovery.share.value == pytest.approx(0.6) and recovery.reason is None
    assert recovery.gap.value == pytest.approx(0.12) and recovery.gap.interval == pytest.approx((0.12, 0.12))
    below_chance = estimates.Estimate(0.35, strong.replicates - 0.45)
    assert estimates.recover("auc", strong, below_chance).share.value == pytest.approx(-0.5)
    assert estimates.recover("r2", strong, synthetic).share.value == pytest.approx(0.85)
    undefined = estimates.Estimate(np.nan, np.full(5, np.nan))
    assert estimates.recover("r2", undefined, synthetic).reason == "the lower bound of r2 with real data is not known"


def test_every_metric_works_alone_and_says_its_direction_and_range():
    rng = np.random.default_rng(5)
    classes = rng.integers(0, 2, 60)
    scores = classes + rng.normal(0, 0.7, 60)
    results = {
        "auc": utility.RocAuc().compute(predictions=scores, references=classes),
        "balanced_accuracy": utility.BalancedAccuracy().compute(predictions=scores > 0.5, references=classes),
        "r2": utility.R2().compute(predictions=classes, references=scores),
        "mae": utility.MeanAbsoluteError().compute(predictions=classes, references=scores, num_bootstraps=50, seed=1),
    }
    assert set(results) == set(utility.METRICS)
    for name, result in results.items():
        low, high = result["interval"]
        assert low < result[name] < high
        assert result["direction"] == ("lower is better" if name == "mae" else "higher is better")
        assert set(result) == {name, "interval", "direction", "range", "n", "n_patients"}
    assert [results[name]["range"] for name in results] == [(0.0, 1.0), (0.0, 1.0), (None, 1.0), (0.0, None)]


def test_metrics_take_several_classes_and_labels():
    scores = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.3, 0.3, 0.4]]
    assert utility.RocAuc().compute(predictions=scores, references=[0, 1, 2, 2])["auc"] == 1
    labels = [[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert utility.RocAuc().compute(predictions=np.array(scores), references=np.array(labels))["auc"] < 1
    assert utility.BalancedAccuracy().compute(predictions=labels, references=labels)["balanced_accuracy"] == 1


def test_recovered_share_works_alone():
    rng = np.random.default_rng(6)
    classes = rng.integers(0, 2, 300)
    real, synthetic = classes + rng.normal(0, 0.5, 300), classes + rng.normal(0, 1, 300)
    metric = utility.RecoveredShare()
    result = metric.compute(predictions=synthetic, real_predictions=real, references=classes)
    aucs = [sklearn_metrics.roc_auc_score(classes, scores) for scores in (synthetic, real)]
    assert result["recovered_share"] == pytest.approx((aucs[0] - 0.5) / (aucs[1] - 0.5))
    assert result["gap"] == pytest.approx(aucs[1] - aucs[0])
    assert result["gap_interval"][0] < result["gap"] < result["gap_interval"][1]
    noise = metric.compute(predictions=synthetic, real_predictions=rng.random(300), references=classes)
    assert noise["recovered_share"] is None and "is not above 0.6" in noise["reason"]
    regression = utility.RecoveredShare("regression")
    result = regression.compute(predictions=[1, 2, 4, 3], real_predictions=[1, 2, 3, 4], references=[1, 2, 3, 4])
    assert result["recovered_share"] == pytest.approx(0.6)


def test_predictions_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="expected finite `predictions`, found 1 that are not"):
        utility.RocAuc().compute(predictions=[0.1, np.nan], references=[0, 1])
