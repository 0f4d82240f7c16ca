"""What drawings are made of: an SVG with its own paper, light or dark, its text and arrows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from .say import LANGUAGES, Text, chosen_languages, describe_image

FONT = 13  # units; drawings are 360 to 620 units wide, so at least 8 pixels on a phone
LETTER = 0.56 * FONT  # mean width of a letter

STYLE = f"""
.d2l-drawing {{ font: {FONT}px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }}
.d2l-paper {{ fill: #ffffff; }}
.d2l-ink {{ fill: #1a1a1a; }}
.d2l-faint {{ fill: #5f6368; }}
.d2l-line {{ stroke: #5f6368; fill: none; stroke-width: 1.2; }}
.d2l-tip {{ fill: #5f6368; }}
.d2l-face {{ fill: #d6e6f5; stroke: #0072b2; }}
.d2l-side {{ fill: #a9cce8; stroke: #0072b2; }}
.d2l-bar {{ fill: #e69f00; }}
.d2l-box {{ fill: #eef4fa; stroke: #0072b2; }}
.d2l-join {{ fill: #fff3d6; stroke: #b87a00; }}
@media (prefers-color-scheme: dark) {{
  .d2l-paper {{ fill: #1c1e21; }}
  .d2l-ink {{ fill: #ececec; }}
  .d2l-faint {{ fill: #a9adb3; }}
  .d2l-line {{ stroke: #a9adb3; }}
  .d2l-tip {{ fill: #a9adb3; }}
  .d2l-face {{ fill: #1d3f5c; stroke: #6db6e8; }}
  .d2l-side {{ fill: #12293d; stroke: #6db6e8; }}
  .d2l-bar {{ fill: #e69f00; }}
  .d2l-box {{ fill: #22303c; stroke: #6db6e8; }}
  .d2l-join {{ fill: #3d3319; stroke: #e0b050; }}
}}
"""


class Drawing:
    """An SVG with its text alternative; it displays itself at the end of a cell.

    Attributes:
        svg: the picture, a whole SVG document.
        description: what it shows.
    """

    def __init__(self, svg: str, description: Text):
        self.svg, self.description = svg, description

    def save(self, path: str | Path) -> None:
        """Write the SVG to a file."""
        Path(path).write_text(self.svg, encoding="utf-8")

    def __repr__(self) -> str:
        return str(self.description)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({"image/svg+xml": self.svg, "text/plain": repr(self)}, raw=True)
        describe_image(self.description)


def compose(parts: Sequence[str], width: float, height: float, description: Text) -> Drawing:
    titles = "".join(
        f'<title lang="{language}">{escape(getattr(description, language))}</title>'
        for language in LANGUAGES
        if language in chosen_languages()
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="d2l-drawing" role="img" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'style="max-width: 100%; height: auto">'
        f"{titles}<style>{STYLE}</style>"
        f'<rect class="d2l-paper" width="100%" height="100%" rx="6"/>{"".join(parts)}</svg>'
    )
    return Drawing(svg, description)


def write(x: float, y: float, text: str, shade: str = "ink", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="d2l-{shade}" {place}>{escape(text)}</text>'


def arrow(x: float, start: float, end: float) -> str:
    return f'<path class="d2l-line" d="M{x:.1f} {start:.1f}V{end - 4:.1f}"/>' + tip(x, end)


def tip(x: float, y: float) -> str:
    points = f"{x - 3.5:.1f},{y - 6:.1f} {x + 3.5:.1f},{y - 6:.1f} {x:.1f},{y:.1f}"
    return f'<polygon class="d2l-tip" points="{points}"/>'


def polygon(points: Sequence[tuple[float, float]]) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon class="d2l-side" points="{joined}"/>'
