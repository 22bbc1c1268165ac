"""The links of the built site: `python tests/links.py FOLDER` follows them.

MkDocs sees links between Markdown files; here are those of the pages as they
are, of notebooks and docstrings too. Nothing that a page needs may come from
the network.
"""

import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """What a page links to, what it loads, and where one can link to in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given.get("id"), given.get("name")} - {None}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "next"):
            self.loaded.append(given["href"])
        if "src" in given:
            self.loaded.append(given["src"])


def broken(folder):
    """What is wrong with the links of all pages, a line each."""
    folder = pathlib.Path(folder).resolve()
    pages = {p: Page(p.read_text()) for p in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        for link in page.loaded:
            if urllib.parse.urlsplit(link).netloc:
                found.append(f"{name} loads {link} from the network")
        for link in [*page.links, *page.loaded]:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            where = urllib.parse.unquote(parts.path)
            at = folder if where.startswith("/") else path.parent
            target = (at / where.lstrip("/")).resolve() if where else path
            if target.is_dir():
                target = target / "index.html"
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.exists():
                found.append(f"{name} links to {link}, which is not there")
            elif target in pages and anchor not in pages[target].anchors:
                found.append(f"{name} links to {link}: no such anchor")
    return found


if __name__ == "__main__":
    lines = broken(sys.argv[1])
    sys.exit("\n".join(lines) or 0)
