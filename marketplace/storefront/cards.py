"""A model's card: a stranger's Markdown, rendered so that it can neither run, nor phone home, nor leave its box."""

import html
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

MAX_CHARS = 30_000
MAX_HTML = 200_000
# What Markdown's grammar makes dear: a parser may look from each of these to the end of the card. Far above what a
# card for people holds; a card beyond one of them is shown as it was written.
_MOST = {"[": 1500, "<": 3000, "*": 4000, "_": 4000, "`": 3000, "~": 3000, "&": 4000}
# A table fills short rows up, so that few characters make many cells.
_MOST_CELLS = 12_000
_AS_WRITTEN = "<p><em>This card is too intricate to be formatted; it is shown as it was written.</em></p>"
# Characters that reorder the text around them, up to the end of the line: U+202A to U+202E, U+2066 to U+2069.
_REORDERING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "code", "em", "strong", "s", "del"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a", "sup", "sub"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "th": {"align"}, "td": {"align"}}
_SCHEMES = {"http", "https", "mailto", "ipfs"}


def _is_absolute(_tag: str, name: str, value: str) -> str | None:
    """nh3's attribute filter. A relative link would point into the site, with the publisher's words on it."""
    if name != "href":
        return value
    try:
        url = urlsplit(value)
        host = url.hostname
    except ValueError:
        return None
    # A browser reads `http:/keys/` on a page of the same scheme as the site's own /keys/.
    if url.scheme not in _SCHEMES or (url.scheme in {"http", "https"} and not host):
        return None
    return value


class _LinkedImages(RendererHTML):
    """Images become links: showing one would tell its host who visits, or need a proxy."""

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        source = str(tokens[idx].attrs.get("src", ""))
        label = self.renderInlineAsText(tokens[idx].children or [], options, env) or "image"
        text = html.escape(f"Image: {label}")
        if not _is_absolute("a", "href", source):
            return text
        return f'<a href="{html.escape(source, quote=True)}">{text}</a>'


def _parser() -> MarkdownIt:
    # maxNesting bounds the recursion that a card of ten thousand brackets would cause.
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 30}, renderer_cls=_LinkedImages)
    return parser.enable(["table", "strikethrough"])


def front_matter_strip(text: str) -> str:
    """The card without the YAML block between `---` lines that hubs put at its top."""
    if not text.startswith("---\n"):
        return text
    end = text.find("\n---", 4)
    return text if end == -1 else text[end + 4 :].lstrip("-").lstrip("\n")


@lru_cache(maxsize=64)
def card_html(text: str) -> str:
    """Safe HTML of a card, at most MAX_HTML characters.

    Text beyond MAX_CHARS is cut, and says so. A card that would cost seconds to format, or become too much HTML, is
    shown as it was written, and says so. Characters that reorder text are shown as U+FFFD.
    """
    body = front_matter_strip(text.replace("\r\n", "\n"))
    cut = body[:MAX_CHARS]
    if len(body) > MAX_CHARS:
        cut += "\n\n*The card goes on; the rest is in the release's README.md.*"
    formatted = None if _is_intricate(cut) else _formatted(cut)
    if formatted is None or len(formatted) > MAX_HTML:
        formatted = f"{_AS_WRITTEN}<pre>{html.escape(cut)}</pre>"
    return formatted.translate(_REORDERING)


def _is_intricate(text: str) -> bool:
    lines = text.split("\n")
    cells = len(lines) * max(line.count("|") for line in lines)
    return cells > _MOST_CELLS or any(text.count(character) > most for character, most in _MOST.items())


def _formatted(cut: str) -> str:
    parser = _parser()
    env: dict[str, Any] = {}
    tokens = parser.parse(cut, env)
    for token in tokens:
        # The page's own headings come first: the card's begin below them.
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
    rendered = parser.renderer.render(tokens, parser.options, env)
    return nh3.clean(
        rendered,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_is_absolute,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow ugc",
        strip_comments=True,
    )
