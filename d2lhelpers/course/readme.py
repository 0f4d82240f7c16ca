"""The README's sections that commands write, each between two markers."""

from ..say import Text


def with_section(text: str, name: str, content: str) -> str:
    """README text with the lines between the markers of section ``name`` replaced.

    Raises:
        ValueError: one of the markers is missing, there twice, or in the wrong order.
    """
    start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    parts = text.split(start)
    rest = parts[-1].split(end)
    if len(parts) != 2 or len(rest) != 2:
        raise ValueError(
            Text(
                zh=f"README.md 里要先有 {start}，再有 {end}，各一次；请把它们各占一行，"
                f"放在 {name!r} 这一节的位置。",
                en=f"README.md must have {start} and then {end} once each; put them, on lines of "
                f"their own, where the section {name!r} belongs.",
            )
        )
    return f"{parts[0]}{start}\n{content}\n{end}{rest[1]}"
