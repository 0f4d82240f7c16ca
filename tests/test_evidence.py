"""Marks and the errors behind them."""

import d2lhelpers as d2l


def test_a_verdict_has_its_mark_in_both_languages(capsys):
    for holds, marks in {True: "✓", False: "✗", None: "?"}.items():
        d2l.verdict(holds, zh="甲。", en="A.")
        lines = capsys.readouterr().out.splitlines()
        assert [line[0] for line in lines] == [marks] * 2
        assert lines[0].endswith("：甲。") and lines[1].endswith(": A.")
