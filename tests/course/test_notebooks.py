"""The rules that every notebook of the course keeps, and proof that each rule can fail."""

import ast
import copy
import functools
import itertools
import re
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import get_sanitize_patterns

from d2lhelpers.course import notebooks as files
from d2lhelpers.course.parameters import check_parameters
from d2lhelpers.course.pictures import images_of

PARAMETERS = {"EPOCHS", "BATCH_SIZE", "LR", "SEEDS", "TRAIN_SIZE", "TEST_SIZE", "SOURCE"}
QUICK = PARAMETERS - {"SOURCE"}
HAN = r"[\u4e00-\u9fff]"
ABSOLUTE = r"(?:^|[\"' (])(?:/[a-z]+/[a-z]|[A-Z]:\\)"


def tags(cell):
    return set(cell.metadata.get("tags", []))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def twins(notebook):
    """Pairs of a zh cell and the en cell that follows it."""
    zh = [i for i, cell in enumerate(notebook.cells) if "zh" in tags(cell)]
    return [(notebook.cells[i], notebook.cells[i + 1]) for i in zh]


# Each rule returns the problems that it finds: an empty list is a pass.


def languages_alternate(notebook):
    """Every Markdown cell is tagged zh or en, and a zh cell is followed at once by its en twin."""
    problems, expected = [], "zh"
    for cell in notebook.cells:
        language = tags(cell) & {"zh", "en"}
        if cell.cell_type == "code":
            if expected == "en" or language:
                problems.append(f"{cell.id}: code where the en twin should be")
            continue
        if language != {expected}:
            problems.append(f"{cell.id}: tagged {language or 'nothing'}, expected {expected}")
            break
        expected = "en" if expected == "zh" else "zh"
    return problems


def _same(name, pattern, flags=0):
    def parts(text):
        return sorted(re.findall(pattern, text, flags))

    def rule(notebook):
        return [
            f"{zh.id}: {parts(zh.source)} != {parts(en.source)}"
            for zh, en in twins(notebook)
            if parts(zh.source) != parts(en.source)
        ]

    rule.__name__ = name
    return rule


def same_headings(notebook):
    """Twins have the same heading levels in the same order."""

    def levels(text):
        return re.findall(r"^#+(?= )", text, re.MULTILINE)

    return [zh.id for zh, en in twins(notebook) if levels(zh.source) != levels(en.source)]


same_formulas = _same("same_formulas", r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
same_code_words = _same("same_code_words", r"`[^`\n]+`")
same_links = _same("same_links", r"\]\(([^)\s]+)\)")
same_lists = _same("same_lists", r"^(?:- |\d+\. )", re.MULTILINE)


def chinese_typography(notebook):
    """Full-width punctuation, a space between Chinese and Latin or digits, 你 rather than 您."""
    wrong = {
        "half-width punctuation": rf"{HAN}[,;:!?](?!\d)|{HAN}\.(?=\s|$)|{HAN}\(|\){HAN}",
        "no space beside Latin or digits": rf"{HAN}[A-Za-z0-9]|[A-Za-z0-9]{HAN}",
        "您": "您",
    }
    problems = []
    for cell in markdown_cells(notebook):
        if "zh" not in tags(cell):
            continue
        text = re.sub(
            r"\$\$.+?\$\$|\$[^$\n]+\$|`[^`\n]+`|\]\([^)]*\)", " ", cell.source, flags=re.S
        )
        for name, pattern in wrong.items():
            for match in re.finditer(pattern, text):
                around = text[max(0, match.start() - 8) : match.end() + 8]
                problems.append(f"{cell.id}: {name}: {around!r}")
    return problems


def english_has_no_chinese(notebook):
    """An en cell has no Chinese in it."""
    return [
        cell.id
        for cell in markdown_cells(notebook)
        if "en" in tags(cell) and re.search(HAN, cell.source)
    ]


def parameters_are_complete(notebook):
    """One cell tagged parameters, with exactly the names that all chapters have."""
    own = set(files.parameters_of(notebook))
    return sorted(PARAMETERS ^ own)


def parameters_are_set_once(notebook):
    """No cell assigns a parameter again."""
    problems = []
    for cell in code_cells(notebook):
        if "parameters" in tags(cell):
            continue
        for node in ast.walk(ast.parse(cell.source)):
            is_set = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del)
            if is_set and node.id in PARAMETERS:
                problems.append(f"{cell.id}: {node.id}")
    return problems


def quick_parameters_are_known(notebook):
    """The notebook says how to run it quickly: numbers, and which seeds where it has several.

    They are of the parameters' types; where a reader has edited those, nobody checks it again.
    """
    metadata = notebook.metadata["d2lhelpers"]
    quick, later = metadata.get("quick", {}), metadata.get("quick_later", {})
    problems = [] if quick else ["no quick parameters"]
    for values in (quick, *later.values()):
        try:
            check_parameters(files.parameters_of(notebook), values)
        except ValueError as error:
            problems.append(str(error))
    problems += sorted(later.keys() - {cell.id for cell in notebook.cells})
    for name, value in itertools.chain(*(values.items() for values in (quick, *later.values()))):
        is_number = type(value) in (int, float) and value > 0 and name != "SEEDS"
        are_seeds = name == "SEEDS" and value and all(type(seed) is int for seed in value)
        if name not in QUICK or not (is_number or are_seeds):
            problems.append(f"{name}: {value!r}")
    return problems


def findings_have_their_marks(notebook):
    """A finding is written for its verdict's stored mark; each verdict has one a language."""
    cells = {cell.id: cell for cell in notebook.cells}
    drafts = [cell.id for cell in markdown_cells(notebook) if "(draft)" in cell.source]
    problems, told = [f"{cell}: a draft" for cell in drafts], {}
    for cell in markdown_cells(notebook):
        finding = cell.metadata.get("finding")
        if finding is None:
            continue
        told.setdefault(finding["verdict"], []).append(cell)
        marks = marks_of(cells.get(finding["verdict"]))
        if marks != [finding["mark"]]:
            problems.append(f"{cell.id}: written for {finding['mark']}, the verdict is {marks}")
    for cell in code_cells(notebook):
        is_verdict = re.search(r"\bjudge(?:_close)?\(", cell.source)
        languages = [tags(finding) & {"zh", "en"} for finding in told.get(cell.id, [])]
        if is_verdict and languages != [{"zh"}, {"en"}]:
            problems.append(f"{cell.id}: findings in {languages}")
    return problems


def findings_are_predicted(notebook):
    """Before a verdict that a finding is about, in its section, the reader is asked to predict."""
    problems, asked = [], set()
    claims = {
        cell.metadata.finding["verdict"] for cell in notebook.cells if "finding" in cell.metadata
    }
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            asked -= tags(cell)
        if "predict" in tags(cell):
            asked |= tags(cell)
        if cell.id in claims and not {"zh", "en"} <= asked:
            problems.append(f"{cell.id}: nobody is asked to predict it")
    return problems


def marks_of(cell):
    """The marks in a cell's stored outputs, each once."""
    texts = (
        [output.get("data", {}).get("text/plain", "") for output in cell.outputs] if cell else []
    )
    return sorted({text[0] for text in texts if text.startswith(("✓", "✗", "?"))})


def cells_are_short(notebook):
    """A code cell is one thought: at most 25 lines, the set-up aside."""
    return [
        f"{cell.id}: {len(cell.source.splitlines())} lines"
        for cell in code_cells(notebook)
        if len(cell.source.splitlines()) > 25 and "imports" not in tags(cell)
    ]


def images_have_alt_text(notebook):
    """Every image in Markdown says what it shows."""
    return [
        cell.id
        for cell in markdown_cells(notebook)
        if re.search(r"!\[\s*\]\(", cell.source) or re.search(r"<img(?![^>]*alt=)", cell.source)
    ]


def figures_have_alt_text(notebook):
    """Every stored figure is described in both languages, in its cell's metadata."""
    problems = []
    for cell in code_cells(notebook):
        alt = cell.metadata.get("alt", {"zh": [], "en": []})
        zh, en = alt["zh"], alt["en"]
        count = len(images_of(cell))
        if count != len(zh) or count != len(en):
            problems.append(f"{cell.id}: {count} figures, texts {len(zh)} zh, {len(en)} en")
        if not all(re.search(HAN, text) for text in zh) or re.search(HAN, "".join(en)):
            problems.append(f"{cell.id}: a text in the wrong language")
    return problems


def outputs_are_whole(notebook):
    """Stored outputs are of one run from top to bottom, of exactly this code, without an error."""
    counts = [cell.execution_count for cell in files.lesson_cells(notebook)]
    problems = [] if counts == list(range(1, len(counts) + 1)) else [f"not one run: {counts}"]
    if not files.outputs_are_current(notebook):
        problems.append("the code has changed since: run python -m d2lhelpers run --full")
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                problems.append(f"{cell.id}: {output.get('ename', 'stderr')}")
    return problems


def outputs_are_clean(notebook):
    """No progress bars, widget state or absolute paths in what is stored; under 2 MB."""
    problems = ["widget state"] if "widgets" in notebook.metadata else []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            text = nbformat.writes(nbformat.v4.new_notebook(cells=[_only(output)]))
            if "widget-view" in text or re.search(r"\d+%\|", text):
                problems.append(f"{cell.id}: a progress bar")
            if re.search(ABSOLUTE, _without_images(output), re.MULTILINE):
                problems.append(f"{cell.id}: an absolute path")
    size = len(nbformat.writes(notebook).encode())
    return problems + ([f"{size:,} bytes"] if size >= 2_000_000 else [])


def _only(output):
    return nbformat.v4.new_code_cell(outputs=[output])


def _without_images(output):
    data = {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")}
    return " " + str(output.get("text", "")) + " " + " ".join(map(str, data.values()))


def outputs_are_compared(notebook):
    """Of the cells that print and belong to no experiment, nbval compares a third at least.

    What an experiment prints depends on the size of the run, and so do numbers of the data.
    """
    printing = [
        cell
        for cell in code_cells(notebook)
        if "experiment" not in tags(cell)
        and any(
            "image/png" not in output.get("data", {})
            and "describes" not in output.get("metadata", {})
            for output in cell.outputs
        )
    ]
    compared = [cell for cell in printing if "nbval-ignore-output" not in tags(cell)]
    return [] if 3 * len(compared) >= len(printing) else [f"{len(compared)} of {len(printing)}"]


RULES = [
    languages_alternate,
    same_headings,
    same_formulas,
    same_code_words,
    same_links,
    same_lists,
    chinese_typography,
    english_has_no_chinese,
    parameters_are_complete,
    parameters_are_set_once,
    quick_parameters_are_known,
    findings_have_their_marks,
    findings_are_predicted,
    cells_are_short,
    images_have_alt_text,
    figures_have_alt_text,
    outputs_are_whole,
    outputs_are_clean,
    outputs_are_compared,
]


@pytest.mark.parametrize("path", files.notebooks(), ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule(rule, path):
    assert rule(files.read_notebook(path)) == []


def test_nbval_compares_all_of_a_shape_but_the_size_of_the_batch():
    """Quick runs have batches of their own."""
    path = Path(__file__).parents[1] / "nbval.cfg"
    patterns = get_sanitize_patterns(path.read_text(encoding="utf-8"))

    def compared(text):
        return functools.reduce(lambda text, pattern: re.sub(*pattern, text), patterns, text)

    for shape in ("torch.Size([{}, 1, 28, 28])", "torch.Size([{}])", "conv(X) ({}, 6, 28, 28)"):
        assert compared(shape.format(100)) == compared(shape.format(16))
    assert compared("(100, 6, 28, 28)") != compared("(100, 6, 14, 14)")
    for other in ("(16, 2)", "torch.Size([16, 2])", "accuracy 0.16", "(16,)"):
        assert compared(other) == other


# -------------------------------------------------------------- every rule can fail: break it once


def small_notebook():
    zh = "# 标题\n\n用 `conv` 算出 $n$，见[论文](https://example.org)。\n\n- 一"
    en = "# Title\n\nWith `conv` compute $n$, see the [paper](https://example.org).\n\n- One"
    cells = [
        nbformat.v4.new_markdown_cell(zh, metadata={"tags": ["zh"]}),
        nbformat.v4.new_markdown_cell(en, metadata={"tags": ["en"]}),
        nbformat.v4.new_code_cell(
            "\n".join(f"{name} = 1" for name in sorted(PARAMETERS)),
            metadata={"tags": ["parameters"]},
            execution_count=1,
        ),
        nbformat.v4.new_code_cell(
            "print(EPOCHS)",
            execution_count=2,
            outputs=[nbformat.v4.new_output("stream", text="1\n")],
        ),
        *(
            nbformat.v4.new_markdown_cell(text, metadata={"tags": [language, "predict"]})
            for language, text in {"zh": "先预测：✓、✗ 还是 ?", "en": "Predict: ✓, ✗ or ?"}.items()
        ),
        nbformat.v4.new_code_cell(
            'd2l.judge(a, ">", b)',
            id="verdict",
            execution_count=3,
            outputs=[
                nbformat.v4.new_output("display_data", {"text/plain": f"✓ {word}"})
                for word in ("成立", "Holds")
            ],
        ),
        *(
            nbformat.v4.new_markdown_cell(
                text,
                metadata={"tags": [language], "finding": {"verdict": "verdict", "mark": "✓"}},
            )
            for language, text in {"zh": "成立。", "en": "It holds."}.items()
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    digest = files.code_digest(notebook)
    notebook.metadata["d2lhelpers"] = {"code_sha256": digest, "quick": {"EPOCHS": 2, "LR": 0.05}}
    return notebook


def _edit(index, old, new):
    def change(notebook):
        assert old in notebook.cells[index].source
        notebook.cells[index].source = notebook.cells[index].source.replace(old, new)

    return change


def _output(text, kind="stream", **fields):
    def change(notebook):
        output = nbformat.v4.new_output(kind, text=text, **fields)
        notebook.cells[3].outputs = [output]

    return change


def _figure(zh, en):
    def change(notebook):
        figure = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})
        notebook.cells[3].outputs.append(figure)
        notebook.cells[3].metadata["alt"] = {"zh": zh, "en": en}

    return change


def _quick_later(cell, **parameters):
    def change(notebook):
        notebook.metadata["d2lhelpers"]["quick_later"] = {cell: parameters}

    return change


def _quick(**parameters):
    def change(notebook):
        notebook.metadata["d2lhelpers"]["quick"] = parameters

    return change


def _other_mark(notebook):
    """As after a run that came out differently."""
    for output in notebook.cells[6].outputs:
        output.data["text/plain"] = output.data["text/plain"].replace("✓", "✗")


def _ignore(notebook):
    for cell in (notebook.cells[3], notebook.cells[6]):
        cell.metadata["tags"] = ["nbval-ignore-output"]


def _swap(notebook):
    notebook.cells[0], notebook.cells[1] = notebook.cells[1], notebook.cells[0]


def _twice(notebook):
    notebook.cells[3].execution_count = 7


BREAKS = [
    (languages_alternate, _swap),
    (languages_alternate, lambda notebook: notebook.cells.pop(1)),
    (same_headings, _edit(1, "# Title", "## Title")),
    (same_formulas, _edit(1, "$n$", "$m$")),
    (same_code_words, _edit(0, "`conv`", "`pool`")),
    (same_links, _edit(1, "example.org", "example.com")),
    (same_lists, _edit(1, "- One", "One")),
    (chinese_typography, _edit(0, "算出", "你好,算出")),
    (chinese_typography, _edit(0, "算出", "算出CNN")),
    (chinese_typography, _edit(0, "标题", "您的标题")),
    (english_has_no_chinese, _edit(1, "Title", "标题")),
    (parameters_are_complete, _edit(2, "LR = 1\n", "")),
    (parameters_are_set_once, _edit(3, "print(EPOCHS)", "for EPOCHS in range(3): pass")),
    (quick_parameters_are_known, _quick()),
    (quick_parameters_are_known, _quick(EPOCH=2)),
    (quick_parameters_are_known, _quick(EPOCHS=True)),
    (quick_parameters_are_known, _quick(LR="0.05")),
    (quick_parameters_are_known, _quick(SEEDS=0)),
    (quick_parameters_are_known, _quick(SEEDS=["0"])),
    (quick_parameters_are_known, _quick(EPOCHS=1.5)),
    (quick_parameters_are_known, _quick_later("no such cell", EPOCHS=1)),
    (quick_parameters_are_known, _quick_later("verdict", EPOCH=1)),
    (findings_have_their_marks, _other_mark),
    (findings_have_their_marks, lambda notebook: notebook.cells[6].outputs.clear()),
    (findings_have_their_marks, lambda notebook: notebook.cells.pop(6)),
    (findings_have_their_marks, lambda notebook: notebook.cells.pop(7)),
    (findings_have_their_marks, _edit(8, "It holds", "(draft) It holds")),
    (findings_are_predicted, lambda notebook: notebook.cells.pop(5)),
    (cells_are_short, _edit(3, "print(EPOCHS)", "x = 1\n" * 26)),
    (images_have_alt_text, _edit(0, "- 一", "![](figure.png)")),
    (figures_have_alt_text, _figure([], [])),
    (figures_have_alt_text, _figure(["一条线。"], [])),
    (figures_have_alt_text, _figure(["A line."], ["A line."])),
    (figures_have_alt_text, _figure(["一条线。"], ["一条线。"])),
    (outputs_are_whole, _edit(3, "print(EPOCHS)", "print(SEEDS)")),
    (outputs_are_whole, _twice),
    (outputs_are_whole, _output("warning", name="stderr")),
    (outputs_are_clean, _output(" 50%|#####     | 5/10")),
    (outputs_are_clean, _output("saved to /home/someone/runs")),
    (outputs_are_clean, _output("saved to\n/home/someone/runs")),
    (outputs_are_clean, _output(r"saved to C:\Users\someone\runs")),
    (outputs_are_compared, _ignore),
]


def test_small_notebook_keeps_every_rule():
    notebook = small_notebook()
    assert {rule.__name__: rule(notebook) for rule in RULES if rule(notebook)} == {}


@pytest.mark.parametrize(("rule", "change"), BREAKS)
def test_rule_notices(rule, change):
    notebook = copy.deepcopy(small_notebook())
    change(notebook)
    assert rule(notebook) != []


def test_every_rule_is_shown_to_fail():
    assert {rule for rule, _ in BREAKS} == set(RULES)
