"""The canonical form is the library's, whatever writes it."""

import math
import struct

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from weighhouse.core import canonical

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6) | st.lists(NUMBERS),
    max_leaves=30,
)
EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-4,
    9.999e-5,
    1e-6,
    1e-7,
    123456789012345.6,
    1e15,
    1e16,
    1e21,
    1e22,
    5e-324,
    0.1,
    2**53 + 0.0,
]


@given(VALUES)
def test_any_value_has_the_librarys_form(value):
    assert canonical.dumps(value) == rfc8785.dumps(value)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_numbers_of_any_bits_have_the_librarys_form(words):
    numbers = [struct.unpack("<d", struct.pack("<Q", word))[0] for word in words]
    finite = [number for number in numbers if math.isfinite(number)]
    assert canonical.dumps(finite) == rfc8785.dumps(finite)


def test_edges_have_the_librarys_form():
    edges = [*EDGES, *(-number for number in EDGES), *(math.nextafter(number, math.inf) for number in EDGES)]
    assert canonical.dumps({"outputs": [edges, [0.5]]}) == rfc8785.dumps({"outputs": [edges, [0.5]]})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_form(number):
    with pytest.raises(canonical.JsonError):
        canonical.dumps({"outputs": [[0.5, number]]})


@pytest.mark.parametrize(
    "value", [{1: 2}, {"a": {2: 3}}, [2**53], {"\ud800": 1}, ["\ud800"], {"a": object()}, [[0.5, 2**60]]]
)
def test_what_json_has_no_one_form_of_is_refused(value):
    with pytest.raises(canonical.JsonError):
        canonical.dumps(value)


def test_a_value_nested_too_deeply_is_refused():
    value: list = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(canonical.JsonError):
        canonical.dumps(value)
