"""One text form per CID, and nothing else is accepted."""

import pytest
from weighhouse.core.cid import DAG_PB, RAW, Cid, CidError, digest_hex, digest_parse, root_cid

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


def test_cid_of_an_empty_block_is_the_known_one():
    assert str(Cid.of(RAW, b"")) == EMPTY


def test_cid_parse_of_its_text_gives_it_back():
    assert Cid.parse(EMPTY) == Cid.of(RAW, b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",  # version 0
        EMPTY.upper(),
        "b" + EMPTY[1:].upper(),
        EMPTY + "a",
        EMPTY[:-1],
        EMPTY[:-1] + "v",  # stray bits after the last byte
        "z" + EMPTY[1:],
        "bafkrei" + "1" * 52,
        EMPTY.replace("a", "\u0430", 1),
    ],
)
def test_cid_parse_of_another_form_is_refused(text):
    with pytest.raises(CidError):
        Cid.parse(text)


def test_cid_of_another_codec_is_refused():
    with pytest.raises(CidError):
        Cid(0x71, b"\0" * 32)


def test_digest_and_root_cid_determine_each_other():
    root = Cid.of(DAG_PB, b"any")
    assert root_cid(digest_parse(digest_hex(root))) == root


@pytest.mark.parametrize("text", ["", "0x", "ab" * 32, "0x" + "zz" * 32, "0x" + "ab" * 33])
def test_digest_parse_of_another_form_is_refused(text):
    with pytest.raises(CidError):
        digest_parse(text)
