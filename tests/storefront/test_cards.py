"""A model's card is a stranger's text: it must not run, phone home, or pass for the site."""

import time

import pytest

from marketplace.storefront.cards import MAX_CHARS, MAX_HTML, card_html
from tests.storefront.conftest import PageReader

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<style>*{display:none}</style>",
    "<form action=/keys/><button>go</button></form>",
    "<meta http-equiv=refresh content=0>",
    "<base href=//evil.example>",
    "<link rel=stylesheet href=//evil.example>",
    "<div hx-get=/keys/ hx-trigger=load data-buy>x</div>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](java&#10;script:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:x)",
    "![a](javascript:alert(1))",
    '![a](https://x.example/"onerror="alert(1))',
    '[a](https://x.example "\\" onclick=alert(1) x=\\"")',
    "<https://x.example/'onmouseover=alert(1)>",
    "`<script>`",
    "```html\n<script>alert(1)</script>\n```",
    "| <script>x</script> |\n|---|\n| <b onclick=x>y</b> |",
    "<!-- --><script>x</script><!-- -->",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[x]: javascript:alert(1)\n\n[x]",
    "<a href='https://x.example' class='brand' id='main' target='_blank'>x</a>",
]
ALLOWED = {"href", "title", "rel", "start"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_card_with_an_attack_becomes_harmless_text(attack):
    page = PageReader(card_html(attack))
    assert not page.inline
    for tag, attributes in page.tags:
        assert tag not in {"script", "style", "img", "svg", "iframe", "form", "button", "meta", "base", "link", "div"}
        assert set(attributes) <= ALLOWED, (tag, attributes)
        if "href" in attributes:
            assert attributes["href"].split(":")[0] in {"http", "https", "mailto", "ipfs"}


def test_card_image_becomes_a_link_that_names_it():
    page = PageReader(card_html("![a plot](https://images.example/p.png)"))
    assert not page.all("img")
    assert page.all("a")[0]["href"] == "https://images.example/p.png"
    assert "Image: a plot" in page.text


def test_card_link_into_the_site_is_no_link():
    page = PageReader(card_html("[your keys](/keys/) and [here](//evil.example) and [there](#x)"))
    assert not [link for link in page.all("a") if "href" in link]


def test_card_front_matter_is_left_out():
    assert "license" not in card_html("---\nlicense: mit\n---\n# Title\n")


def test_card_with_an_open_front_matter_is_shown_whole():
    assert "Title" in card_html("---\nlicense: mit\n\n# Title\n")


def test_card_keeps_headings_tables_and_code():
    page = PageReader(card_html("# T\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n"))
    assert {"h3", "table", "td", "pre", "code"} <= {tag for tag, _ in page.tags}


@pytest.mark.parametrize(
    "link", ["http:/keys/", "https:/keys/", "http:keys/", "http:///keys/", "http:\\\\keys", "http://:80/"]
)
def test_card_link_that_a_browser_reads_as_a_path_of_the_site_is_no_link(link):
    page = PageReader(card_html(f"[your keys]({link}) ![image]({link}) <{link}>"))
    assert not [anchor for anchor in page.all("a") if "href" in anchor]


@pytest.mark.parametrize("code", [*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
def test_card_characters_that_reorder_text_are_shown_and_harmless(code):
    character = chr(code)
    for text in (
        character,
        f"&#x{code:x};",
        f"`{character}`",
        f'[a](https://x.example "{character}")',
        "`" * 9000 + character,
    ):
        assert character not in card_html(f"before {text} after")
        assert "\ufffd" in card_html(f"before {text} after")


SLOW = {
    "brackets": "[" * 60_000,
    "images": "![a](" * 12_000,
    "labels": "[a\n" * 20_000,
    "quotes": "> " * 30_000 + "x",
    "emphasis": "*a_" * 20_000,
    "runs": "*_" * 30_000,
    "backticks": "`" * 60_000,
    "entities": "&" * 60_000,
    "wide table": "|" * 3000 + "a\n" + "|-" * 3000 + "\n" + "|\n" * 20_000,
    "table of short rows": "|" * 300 + "a\n" + "|-" * 300 + "\n" + "x\n" * 20_000,
    "long table": "a|b\n-|-\n" + "a|b\n" * 20_000,
    "items": "1. a\n" * 12_000,
    "headings": "# a\n" * 15_000,
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_card_made_to_be_slow_or_large_costs_little(text):
    began = time.process_time()
    rendered = card_html(text)
    assert time.process_time() - began < 1.5
    assert len(rendered) < MAX_HTML + 500


@pytest.mark.parametrize("name", ["brackets", "wide table", "table of short rows", "runs", "backticks"])
def test_card_too_intricate_is_shown_as_it_was_written_and_says_so(name):
    page = PageReader(card_html("<script>x</script>\n" + SLOW[name]))
    assert {tag for tag, _ in page.tags} == {"p", "em", "pre"}
    assert "shown as it was written" in page.text and "<script>x</script>" in page.text


def test_card_of_a_long_and_honest_model_is_formatted():
    table = "| " + " | ".join("abcdefgh") + " |\n|" + "---|" * 8 + "\n" + ("| 0.123" * 8 + " |\n") * 150
    text = f"# Title\n\n{table}\n" + "See [the paper](https://x.example/p) on *scales* and `weights`.\n\n" * 150
    page = PageReader(card_html(text))
    assert len(page.all("td")) == 1200 and len(page.all("a")) == 150


def test_card_beyond_the_limit_is_cut_and_says_so():
    assert "The card goes on" in card_html("word " * MAX_CHARS)
