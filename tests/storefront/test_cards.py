"""A model's card is a stranger's text: it must not run, phone home, or pass for the site."""

import time

import pytest

from marketplace.storefront.cards import MAX_CHARS, card_html
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


@pytest.mark.parametrize("text", ["[" * 60_000, "> " * 30_000 + "x", "*a_" * 20_000, "![a](" * 12_000, "`" * 60_000])
def test_card_made_to_be_slow_renders_in_seconds(text):
    began = time.process_time()
    card_html(text)
    assert time.process_time() - began < 5


def test_card_beyond_the_limit_is_cut_and_says_so():
    assert "The card goes on" in card_html("word " * MAX_CHARS)
