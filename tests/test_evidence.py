"""Claims on trial: marks, intervals, and what must never earn a ✓."""

import csv
import math
import statistics

import numpy as np
import pytest
import torch
from figures import history
from scipy import stats

import d2lhelpers as d2l
from d2lhelpers import results
from d2lhelpers.say import Text
from d2lhelpers.steps import Never, steps_until

NAN = math.nan
LOW, HIGH = (0.70, 0.71, 0.72), (0.80, 0.82, 0.81)


@pytest.fixture(autouse=True)
def no_results(tmp_path, move_project):
    """No results.csv but what a test adds."""
    move_project(tmp_path)


def runs(*accuracies, variant="plain", epochs=4, **changes):
    """A variant's runs, a seed for each test accuracy; NaN diverged."""
    return [
        history(
            f"09_test/Net/{variant}",
            seed=seed,
            train_loss=[2.0] * (epochs - 1) + [accuracy * 0 + 1],
            test_accuracy=[accuracy],
            test_loss=[1 - accuracy],
            **changes,
        )
        for seed, accuracy in enumerate(accuracies)
    ]


def mark(*claim, **options):
    return d2l.judge(*claim, **options).mark


# --- intervals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (HIGH, LOW),
        ((0.7, 0.9), (0.1, 0.4, 0.2, 0.3)),
        ((3.0, 1.0, 2.0, 2.5, 1.5), (2.0, 1.0)),
    ],
)
def test_the_interval_of_two_samples_is_students(a, b):
    (comparison,) = d2l.judge(a, ">", b).comparisons
    expected = stats.ttest_ind(a, b).confidence_interval(0.95)
    assert comparison.interval == pytest.approx((expected.low, expected.high))
    assert comparison.noise.freedom == len(a) + len(b) - 2


def test_the_interval_against_an_exact_number_is_students():
    ratios = (9.0, 11.0, 14.0)
    (comparison,) = d2l.judge(ratios, ">", 10).comparisons
    expected = stats.ttest_1samp(ratios, 10).confidence_interval(0.95)
    assert comparison.interval == pytest.approx((expected.low - 10, expected.high - 10))


def test_noise_is_pooled_over_further_groups():
    others = [(0.5, 0.6), (0.1, 0.2, 0.3)]
    (comparison,) = d2l.judge([0.9], ">", LOW, noise=[*others, [0.4]]).comparisons
    # By hand: variances 0.005, 0.01 and 0.0001 with 1, 2 and 2 degrees of freedom.
    deviation = math.sqrt((0.005 + 2 * 0.01 + 2 * 0.0001) / 5)
    assert comparison.noise == pytest.approx((deviation, 5))
    half = 2.570582 * deviation * math.sqrt(1 + 1 / 3)
    assert comparison.interval == pytest.approx((0.19 - half, 0.19 + half), abs=1e-6)


def test_marks_are_wrong_for_few_null_experiments():
    random = np.random.default_rng(0)
    marks = {"✓": 0, "✗": 0, "?": 0}
    for _ in range(2_000):
        a, b, other = (random.normal(0.8, 0.01, n) for n in (3, random.integers(1, 4), 3))
        marks[mark(a, ">", b, noise=[other])] += 1
    # 1 in 40 on either side is expected: 50, give or take 7.
    assert marks["✓"] <= 100 and marks["✗"] <= 100
    assert marks["✓"] + marks["✗"] >= 50  # and the interval is not just wide


def test_a_difference_of_many_deviations_is_found():
    random = np.random.default_rng(0)
    found = [
        mark(random.normal(0.85, 0.01, 3), ">", random.normal(0.80, 0.01, 3)) for _ in range(200)
    ]
    assert found.count("✓") > 190 and "✗" not in found


# --- marks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ((HIGH, ">", LOW), "✓"),
        ((HIGH, "<", LOW), "✗"),
        ((LOW, "<", HIGH), "✓"),
        ((LOW, ">", HIGH), "✗"),
        ((LOW, ">", LOW), "?"),
        ((LOW, "<", LOW), "?"),
        ((LOW, ">", (0.69, 0.70, 0.71)), "?"),  # 0.01 apart, 0.01 of noise
        ((HIGH, ">", (0.77,)), "?"),  # one seed is uncertain too: 0.04 against 0.05
        ((HIGH, ">", 0.77), "✓"),  # an exact number is not
        ((0.77, "<", HIGH), "✓"),
        ((0.8, ">", 0.7), "✓"),
        ((0.7, ">", 0.8), "✗"),
        ((0.7, ">", 0.7), "✗"),
        ((0.7, "<", 0.7), "✗"),
        (((0.9,), ">", (0.1,)), "?"),  # one seed each: no noise floor
        (((0.9, 0.9), ">", (0.1, 0.1)), "?"),  # seeds that make no difference: none either
        ((torch.tensor(HIGH), ">", np.array(LOW)), "✓"),
        ((torch.tensor(0.8), ">", 0.7), "✓"),
        (((5, 6, 5), ">", (1, 2, 1)), "✓"),
    ],
)
def test_marks_of_numbers(claim, expected):
    assert mark(*claim) == expected


@pytest.mark.parametrize(("margin", "expected"), [(0, "✓"), (0.05, "✓"), (0.09, "?"), (0.5, "?")])
def test_a_margin_that_is_not_cleared_is_undecided(margin, expected):
    verdict = d2l.judge(HIGH, ">", LOW, margin=margin)
    assert verdict.mark == expected
    assert (verdict.comparisons[0].reason == "margin") == (expected == "?")
    assert mark(LOW, ">", HIGH, margin=margin) == "✗"


def test_equal_within_a_margin():
    near = (0.70, 0.71, 0.725)
    assert mark(LOW, "==", near, margin=0.05) == "✓"
    assert mark(LOW, "==", near, margin=0.01) == "?"  # the interval is wider than that
    assert mark(LOW, "==", HIGH, margin=0.05) == mark(HIGH, "==", LOW, margin=0.05) == "✗"
    assert mark(3, "==", 3, margin=0.1) == "✓" and mark(3, "==", 4, margin=0.1) == "✗"


def test_a_strict_order():
    middle = (0.75, 0.76, 0.755)
    assert mark(HIGH, ">", middle, ">", LOW) == "✓"
    assert mark(LOW, "<", middle, "<", HIGH) == "✓"
    assert mark(HIGH, ">", LOW, ">", middle) == "✗"
    assert mark(HIGH, ">", LOW, ">", (0.705, 0.70, 0.71)) == "?"
    assert mark(HIGH, ">", (0.81, 0.80, 0.82), ">", LOW) == "?"
    assert mark(LOW, ">", HIGH, ">", HIGH) == "✗"  # one refuted part refutes the whole
    assert len(d2l.judge(HIGH, ">", middle, ">", LOW).comparisons) == 2


# --- runs -------------------------------------------------------------------------------------


def test_runs_are_compared_by_a_curve_or_a_function():
    good, bad = runs(*HIGH), runs(*LOW, variant="bad")
    assert mark(good, ">", bad) == "✓"
    assert mark(good, "<", bad, by="test_loss") == "✓"
    assert mark(good, ">", bad, by=lambda run: run.test_accuracy[0] ** 2) == "✓"
    assert mark(good[0], ">", bad) == "✓" and mark(good, ">", 0.7) == "✓"


def test_a_side_that_has_not_learned_is_undecided():
    chance = runs(0.1, 0.1, 0.101, variant="stuck")
    assert mark(runs(*HIGH), ">", chance) == "?"
    assert mark(chance, ">", runs(*HIGH)) == "?"
    assert mark(runs(*HIGH), ">", chance, learned=0.05) == "✓"
    assert mark(runs(*HIGH), ">", runs(*LOW, variant="low"), learned=0.705) == "?"


@pytest.mark.parametrize("by", ["test_accuracy", "test_loss"])
def test_what_diverged_never_wins_and_never_makes_the_other_win(by):
    well = "<" if by == "test_loss" else ">"
    ill = ">" if by == "test_loss" else "<"
    good, lost = runs(*HIGH), runs(NAN, NAN, variant="lost")
    partly, chance = runs(0.9, NAN, 0.91, variant="part"), runs(0.1, 0.1, variant="stuck")
    assert mark(lost, well, good, by=by) == "✗"  # it was claimed to be better
    assert mark(good, ill, lost, by=by) == "✗"
    assert mark(good, well, lost, by=by) == "?"  # a smaller rate might have saved it
    assert mark(lost, ill, good, by=by) == "?"
    assert mark(good, "==", lost, by=by, margin=10) == "?"
    for other in (lost, partly, chance):
        assert mark(lost, well, other, by=by) == "?"
    for relation in "<>":
        assert mark(partly, relation, good, by=by) == mark(good, relation, partly, by=by) == "?"
    assert mark(good, well, runs(*LOW, variant="low"), well, lost, by=by) == "?"


def test_what_a_function_measures_of_a_diverged_run_counts():
    """A run may reach a level before it diverges, or never."""
    lost = runs(NAN, NAN, NAN, variant="lost")
    for late in (300.0, Never(300)):

        def by(run, late=late):
            return late if run.name.endswith("lost") else 100.0 + run.seed

        assert mark(runs(*HIGH), "<", lost, by=by) == "✓"
        assert mark(runs(*HIGH), ">", lost, by=by) == "✗"


def test_numbers_that_are_not_finite_are_undecided():
    for value in (NAN, math.inf, -math.inf):
        for relation in "<>":
            assert mark((value, 1.0, 2.0), relation, (5.0, 6.0, 7.0)) == "?"
            assert mark(value, relation, 1.0) == "?"


def test_a_run_that_diverged_before_the_test_set_was_used_counts_as_diverged():
    lost = history("09_test/Net/x", train_loss=[NAN], test_accuracy=[], test_loss=[])
    assert mark(lost, ">", runs(*LOW)) == "✗"


# --- steps until a level ----------------------------------------------------------------------


def test_steps_are_interpolated():
    assert steps_until([2.3, 2.0, 1.0], "<", 1.5) == 2.5
    assert steps_until([2.3, 2.0, 1.0], "<", 1.5, every=450) == 1125
    assert steps_until(torch.tensor([0.1, 0.5, 0.2, 0.9]), ">", 0.3) == pytest.approx(1.5)
    assert steps_until([0.5, 0.6], ">", 0.3, every=10) == 10  # not known how much sooner
    assert steps_until([NAN, 0.5], ">", 0.3) == 2
    assert steps_until([0.1, 0.3], ">", 0.3) == math.inf  # at the level is not above it


def test_a_level_never_reached_is_more_than_the_steps_looked_at():
    never = steps_until([2.3, 2.2, NAN], "<", 1.5, every=100)
    assert never == math.inf and never.within == 300 and "300" in repr(never)


@pytest.mark.parametrize("arguments", [([], "<", 1), ([1.0], "<=", 1)])
def test_steps_refuse_what_they_cannot_count(arguments):
    with pytest.raises(ValueError, match="at least one value"):
        steps_until(*arguments)


def test_a_level_never_reached_shows_only_what_a_bound_can_show():
    soon, late, never = (100.0, 110.0, 105.0), (300.0, 310.0, 305.0), [Never(200)] * 3
    assert mark(soon, "<", never) == mark(never, ">", soon) == "✓"
    assert mark(never, "<", soon) == mark(soon, ">", never) == "✗"
    assert mark(late, "<", never) == mark(never, ">", late) == "?"  # 200 steps cannot tell
    assert mark(late, ">", never) == mark(never, "<", late) == "?"
    assert mark(never, "<", never, noise=[soon]) == mark(never, ">", never, noise=[soon]) == "?"
    assert mark(soon, "<", [Never(200), 190.0, 210.0]) == "✓"  # the mean is 200 or more
    assert mark(soon, "==", never, margin=10) == "✗"
    assert mark(soon, "==", never, margin=1000) == "?"


# --- the noise floor of results.csv -----------------------------------------------------------


def add_results(variant, *accuracies, **changes):
    """Append a variant's seeds to results.csv."""
    path = results.results_file()
    path.parent.mkdir(exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, results.COLUMNS)
        if new:
            writer.writeheader()
        for run in runs(*accuracies, variant=variant, **changes):
            writer.writerow(results.row_of(run))


def noise_of(*sides, **options):
    return d2l.judge(sides[0], ">", sides[1], **options).comparisons[0].noise


def test_the_floor_is_pooled_over_results_under_the_same_conditions():
    one, other = runs(0.8), runs(0.7, variant="other")
    assert noise_of(one, other) is None
    add_results("a", 0.50, 0.52, 0.54)
    add_results("b", 0.70, 0.71)
    add_results("alone", 0.1)
    others = {"source": "CIFAR-10"}, {"train_samples": 99}, {"epochs": 3}, {"epochs": 5}
    for i, change in enumerate(others):
        add_results(f"unlike {i}", 0.3, 0.9, **change)
    squares = 2 * statistics.variance((0.50, 0.52, 0.54)) + statistics.variance((0.70, 0.71))
    assert noise_of(one, other) == pytest.approx((math.sqrt(squares / 3), 3))
    # By hand: the deviation is 0.0168, its t quantile 3.182, times √2 that is 0.076.
    assert mark(one, ">", other) == "✓" and mark(one, ">", runs(0.73, variant="other")) == "?"
    assert noise_of(one, other, by="test_loss") is None  # the file has accuracies only
    assert noise_of([0.8], [0.7]) is None  # numbers may be of anything


def test_runs_at_hand_stand_for_their_variant_in_the_file():
    add_results("plain", 0.1, 0.9)
    add_results("b", 0.70, 0.71)
    both = statistics.variance(HIGH) * 2 + statistics.variance((0.70, 0.71))
    noise = noise_of(runs(*HIGH), runs(0.7, variant="other"))
    assert noise == pytest.approx((math.sqrt(both / 3), 3))


def test_a_group_counts_once():
    good, bad = runs(*HIGH), runs(*LOW, variant="bad")
    assert noise_of(good, bad, noise=[good, bad]) == noise_of(good, bad)


def test_the_calm_of_what_has_not_learned_does_not_count():
    stuck = runs(0.1, 0.1, 0.1, variant="stuck")
    add_results("stuck in the file", 0.1, 0.1)
    good, bad = runs(*HIGH), runs(*LOW, variant="bad")
    assert noise_of(good, bad, noise=[stuck]).freedom == 4
    assert noise_of(good, bad, noise=[stuck], learned=0.05).freedom == 7


def test_what_diverged_in_the_file_does_not_count():
    add_results("b", 0.70, 0.71, NAN)
    noise = noise_of(runs(0.8), runs(0.7, variant="other"))
    assert noise == pytest.approx((statistics.stdev((0.70, 0.71)), 1))


# --- what a learner sees ----------------------------------------------------------------------


def test_a_verdict_says_its_mark_and_numbers_in_both_languages():
    verdict = d2l.judge(runs(*HIGH), ">", runs(*LOW, variant="bad"))
    zh, en = str(verdict).splitlines()
    for line in (zh, en):
        assert line.startswith("✓ ")
        for part in ("0.8100", "0.7100", ">", "plain", "bad", "0.0100"):
            assert part in line
        for end in verdict.comparisons[0].interval:
            assert f"{end:+.4f}" in line
    d2l.use_language("en")
    try:
        assert str(verdict) == en
    finally:
        d2l.use_language(None)


@pytest.mark.parametrize(
    "claim",
    [
        (runs(NAN), ">", runs(*LOW)),
        (runs(0.1, 0.1), ">", runs(*LOW)),
        ((0.5,), ">", (0.4,)),
        ((math.inf, 1.0), ">", LOW),
        ([Never(200)], ">", LOW),
        (3, ">", 2),
    ],
)
def test_what_is_no_number_is_said_in_words(claim):
    assert "nan" not in str(d2l.judge(*claim))


def test_in_a_notebook_each_language_is_an_output_of_its_own(monkeypatch):
    said = []
    monkeypatch.setattr("d2lhelpers.evidence.say", lambda zh, en: said.append((zh, en)))
    verdict = d2l.judge(HIGH, ">", LOW)
    verdict._ipython_display_()
    assert said == [tuple(str(verdict).splitlines())]


@pytest.mark.parametrize(
    ("claim", "options", "error"),
    [
        ((HIGH, ">"), {}, ValueError),
        ((HIGH,), {}, ValueError),
        ((HIGH, LOW, HIGH), {}, ValueError),
        ((HIGH, ">=", LOW), {}, ValueError),
        ((np.array(HIGH), np.array(LOW), ">"), {}, ValueError),
        ((HIGH, ">", []), {}, ValueError),
        ((HIGH, ">", "plain"), {}, TypeError),
        ((HIGH, ">", ["plain"]), {}, TypeError),
        ((HIGH, ">", None), {}, TypeError),
        ((HIGH, ">", [0.5, history()]), {}, TypeError),
        ((HIGH, ">", [history(seed=1), history(seed=1)]), {}, ValueError),
        ((runs(0.5), ">", LOW), {"by": "accuracy"}, ValueError),
        ((runs(0.5), ">", LOW), {"by": "validation_accuracy"}, ValueError),
        ((HIGH, ">", LOW), {"margin": -1}, ValueError),
        ((HIGH, "==", LOW), {}, ValueError),
    ],
)
def test_claims_that_cannot_be_put_on_trial_are_refused_in_both_languages(claim, options, error):
    with pytest.raises(error) as refused:
        d2l.judge(*claim, **options)
    assert isinstance(refused.value.args[0], Text)


# --- equal values -----------------------------------------------------------------------------


def test_values_that_are_close():
    a = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    for b, expected in ((a + 1e-6, "✓"), (a + 1e-3, "✗"), (a * NAN, "✗")):
        verdict = d2l.judge_close(a, b, tolerance=1e-5)
        assert verdict.mark == expected
        assert len(str(verdict).splitlines()) == 2
    assert d2l.judge_close(a.requires_grad_(), a.bfloat16(), tolerance=0).mark == "✓"
    assert d2l.judge_close(np.ones(3), [1, 1, 1], tolerance=0).mark == "✓"
    assert d2l.judge_close(torch.tensor([1 + 1j]), torch.tensor([1 + 5j]), tolerance=1).mark == "✗"
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        d2l.judge_close(a, a[0], tolerance=1)
    with pytest.raises(ValueError):
        d2l.judge_close(a[:0], a[:0], tolerance=1)
