"""What README.md and docs/ link to is there."""

import re

import pytest
from checkout import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def links(page):
    """Return ``(path, heading)`` of the links into the project; the heading is empty where none is named."""
    found = re.findall(r"\[[^]]*\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in found:
        if "://" not in link:
            path, _, heading = link.partition("#")
            yield (page.parent / path if path else page), heading


def headings(page):
    """Return the names that a page's headings have in links, as GitHub makes them."""
    found = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, heading in links(page):
        assert target.exists(), target
        assert not heading or heading in headings(target), f"{target}#{heading}"


def test_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One `two`-three!\n[a](b.md#c) [d](https://e.org/#f) [g](#one-two-three)\n")
    assert list(links(page)) == [(tmp_path / "b.md", "c"), (page, "one-two-three")]
    assert headings(page) == {"one-two-three"}


def test_every_page_is_linked():
    linked = {target.resolve() for page in PAGES for target, _ in links(page)}
    assert set(PAGES) - linked == {ROOT / "README.md"}
