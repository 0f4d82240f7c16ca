"""The README's sections that commands write, each between two markers."""


def with_section(text: str, name: str, content: str) -> str:
    """README text with the lines between the markers of section ``name`` replaced."""
    start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    before, rest = text.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{content}\n{end}{after}"
