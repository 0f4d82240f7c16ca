"""Marks and the errors behind them."""

import math

import d2lhelpers as d2l


def test_a_verdict_has_its_mark_in_both_languages(capsys):
    for holds, marks in {True: "✓", False: "✗", None: "?"}.items():
        d2l.verdict(holds, zh="甲。", en="A.")
        lines = capsys.readouterr().out.splitlines()
        assert [line[0] for line in lines] == [marks] * 2
        assert lines[0].endswith("：甲。") and lines[1].endswith(": A.")


def test_a_run_that_diverged_is_neither_higher_nor_lower():
    for a, b in ((math.nan, 0.5), (0.5, math.nan), (math.nan, math.nan)):
        assert d2l.is_higher(a, b, samples=1000) is None
    assert math.isnan(d2l.standard_error(math.nan, samples=1000))
