"""Links to a block explorer."""

import pytest

from chain.explorer_links import explorer_url


@pytest.mark.parametrize(
    ("given", "tx", "address", "block"),
    [
        ([], "", "", ""),
        (
            ["https://e.example/"],
            "https://e.example/tx/0xab",
            "https://e.example/address/0xab",
            "https://e.example/block/7",
        ),
        (["https://e.example/?t={tx}"], "https://e.example/?t=0xab", "", ""),
        (
            ["https://a.example", "https://b.example/{tx}"],
            "https://b.example/0xab",
            "https://a.example/address/0xab",
            "https://a.example/block/7",
        ),
    ],
)
def test_explorer_pages_follow_the_setting(settings, given, tx, address, block):
    settings.EXPLORER_URLS = given
    assert explorer_url("tx", "0xab") == tx
    assert explorer_url("address", "0xab") == address
    assert explorer_url("block", 7) == block
