"""HTML from elsewhere, written anew from an allow-list: tables, lists and emphasis, nothing that runs, loads or covers.

The output is not the input with parts removed: every tag of it is written here, so a browser that reads broken markup
in another way than this parser still finds only what is on the list.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

TAGS = frozenset(
    {"a", "b", "blockquote", "br", "caption", "code", "dd", "del", "div", "dl", "dt", "em", "hr", "i", "kbd", "li"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "s", "samp", "small", "span", "strong", "sub", "sup"}
    | {"img", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul", "var"}
)
_EMPTY = frozenset({"br", "hr", "img"})
#: Their text is no text for people.
_SILENT = frozenset({"script", "style", "template", "noscript", "title", "textarea", "iframe", "svg", "math", "object"})
#: Attributes and the values that they may have. No style and no class: a page of Jupyter could be covered or imitated.
_ATTRIBUTES = {
    ("a", "href"): re.compile(r"(?:https?://|mailto:)[^\s\x00-\x1f]*"),
    ("td", "colspan"): re.compile(r"[0-9]{1,4}"),
    ("td", "rowspan"): re.compile(r"[0-9]{1,4}"),
    ("th", "colspan"): re.compile(r"[0-9]{1,4}"),
    ("th", "rowspan"): re.compile(r"[0-9]{1,4}"),
    ("th", "scope"): re.compile(r"row|col|rowgroup|colgroup"),
    ("table", "border"): re.compile(r"[0-9]"),
    ("table", "class"): re.compile(r"dataframe"),
    # A picture brings its bytes: one fetched from elsewhere would tell who looks, and when.
    ("img", "src"): re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*"),
    ("img", "alt"): re.compile(r".{0,200}"),
    ("img", "width"): re.compile(r"[0-9]{1,4}"),
    ("img", "height"): re.compile(r"[0-9]{1,4}"),
    ("ol", "start"): re.compile(r"[0-9]{1,6}"),
}


def clean_html(markup: str) -> str:
    """The markup with the allowed tags and attributes only, all of them closed."""
    writer = _Writer()
    writer.feed(markup)
    writer.close()
    return "".join([*writer.parts, *(f"</{tag}>" for tag in reversed(writer.open))])


class _Writer(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.open: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent.append(tag)
        if self._silent or tag not in TAGS:
            return
        kept = [
            f' {name}="{html.escape(value)}"'
            for name, value in dict(attrs).items()
            if value is not None and (rule := _ATTRIBUTES.get((tag, name))) and rule.fullmatch(value)
        ]
        self.parts.append(f"<{tag}{''.join(kept)}>")
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _EMPTY:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag == self._silent[-1]:
                self._silent.pop()
        elif tag in self.open:
            # What was left open inside ends here too.
            while self.open:
                last = self.open.pop()
                self.parts.append(f"</{last}>")
                if last == tag:
                    break

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(html.escape(data, quote=False))
