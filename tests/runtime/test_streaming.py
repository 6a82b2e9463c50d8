"""The text that grows by tokens. A token here is a byte, the hardest case: characters come in pieces."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models_registry.runtime.inside.streaming import TextStream


def decoded(written: list[int]) -> str:
    return bytes(written).decode("utf-8", "replace")


def streamed(tokens: list[int], stops: list[str], decode=decoded) -> tuple[list[str], str, bool]:
    """Pieces, the whole text, and whether a stop text ended it. Ends as a generation does: at the stop."""
    pieces: list[str] = []
    stream = TextStream(decode, stops=stops, give=pieces.append)
    for end in range(1, len(tokens) + 1):
        stream.push(tokens[:end])
        if stream.is_stopped:
            break
    return pieces, stream.finish(), stream.is_stopped


def test_pieces_never_cut_a_character():
    pieces, whole, _ = streamed(list("Grüße, 世界 \U0001f600!".encode()), [])
    assert whole == "Grüße, 世界 \U0001f600!"
    assert pieces == list(whole)


def test_generation_that_ends_within_a_character_says_so_at_the_end():
    pieces, whole, _ = streamed(list("a世".encode())[:-1], [])
    assert (pieces, whole) == (["a", "\ufffd"], "a\ufffd")


def test_stop_text_is_left_out_and_no_piece_of_it_given():
    pieces, whole, is_stopped = streamed(list(b"one two STOP three"), ["STOP"])
    assert (whole, is_stopped) == ("one two ", True)
    assert "".join(pieces) == "one two "


def test_beginning_of_a_stop_text_that_comes_to_nothing_is_given_after_all():
    pieces, whole, is_stopped = streamed(list(b"a STO b ST"), ["STOP"])
    assert (whole, is_stopped) == ("a STO b ST", False)
    assert "STO b" in "".join(pieces) and pieces[-1] == "ST"


def test_first_of_several_stop_texts_ends_the_text():
    assert streamed(list(b"abcdef"), ["ef", "cd"])[1] == "ab"


def test_decoder_that_changes_its_mind_takes_nothing_back():
    """As byte fallback does: a run of bytes that is not whole yet makes every byte of the run broken."""

    def all_or_nothing(written: list[int]) -> str:
        try:
            return bytes(written).decode()
        except UnicodeDecodeError:
            return "\ufffd" * len(written)

    tokens = list("世界".encode())
    pieces, whole, _ = streamed(tokens, [], all_or_nothing)
    assert ("".join(pieces), whole) == ("世界", "世界")
    pieces, whole, _ = streamed(tokens[:-1], [], all_or_nothing)
    assert "".join(pieces) == whole == "世" + "\ufffd" * 4


TEXTS = st.text(st.sampled_from("ab世\U0001f600ü\n"), max_size=12)


@given(st.lists(st.integers(0, 255), max_size=40) | TEXTS.map(lambda text: list(text.encode())))
def test_pieces_are_the_text_whatever_the_bytes(tokens):
    pieces, whole, _ = streamed(tokens, [])
    assert "".join(pieces) == whole == decoded(tokens)
    assert all(pieces)


STOPS = st.lists(st.text(st.sampled_from("ab世"), min_size=1, max_size=3), min_size=1, max_size=4)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, STOPS)
def test_text_with_stops_ends_before_the_first_that_is_complete(text, stops):
    pieces, whole, is_stopped = streamed(list(text.encode()), stops)
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]
    expected = text if not ends else text[: min(p for s in stops if (p := text[: ends[0]].find(s)) >= 0)]
    assert "".join(pieces) == whole == expected
    assert is_stopped == bool(ends)


@pytest.mark.parametrize("stops", [[], ["never"]])
def test_nothing_written_is_an_empty_text(stops):
    assert streamed([], stops) == ([], "", False)
