"""What must hold of the money rules whatever the numbers: properties of the arithmetic that the contracts follow."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tests.contracts_model.arithmetic import clamped, entry_share, income_shares, vested_amount

AMOUNTS = st.integers(min_value=0, max_value=2**96 - 1)
INCOMES = st.one_of(st.integers(min_value=0, max_value=20_000), st.integers(min_value=0, max_value=2**128 - 1))


@st.composite
def share_rules(draw: st.DrawFn) -> dict[str, object]:
    """Fee, service and up to eight ancestors within their caps."""
    left, bps = 5_000, []
    for _ in range(draw(st.integers(min_value=0, max_value=8))):
        if left == 0:
            break
        part = draw(st.integers(min_value=1, max_value=left))
        bps.append(part)
        left -= part
    fee = draw(st.integers(min_value=0, max_value=500))
    service = draw(st.integers(min_value=0, max_value=5_000))
    return {"fee_bps": fee, "service_bps": service, "ancestor_bps": bps}


@given(income=INCOMES, rules=share_rules())
def test_shares_of_an_income_add_up_to_it(income, rules):
    assert income_shares(income, **rules).total == income


@given(first=INCOMES, more=INCOMES, rules=share_rules())
def test_shares_of_a_growing_income_never_shrink(first, more, rules):
    grown = income_shares(first + more, **rules) - income_shares(first, **rules)
    assert min(grown.fee, grown.service, grown.publisher, *grown.ancestors, 0) == 0


@given(income=INCOMES, rules=share_rules())
def test_shares_are_at_most_a_unit_per_share_taken_off_the_exact_ones(income, rules):
    shares = income_shares(income, **rules)
    fee = Fraction(income * rules["fee_bps"], 10_000)
    service = Fraction(income * rules["service_bps"], 10_000)
    rest = income - fee - service
    assert 0 <= fee - shares.fee < 1
    # Each part that is rounded down leaves less than a unit to those who come later.
    assert abs(service - shares.service) <= 1
    for taken, (bps, part) in enumerate(zip(rules["ancestor_bps"], shares.ancestors, strict=True), start=2):
        assert abs(rest * bps / 10_000 - part) <= taken


def test_shares_by_a_floor_each_can_take_from_the_publisher_on_a_small_split():
    """The rule that was not taken: with a floor of the whole for every share, several floors tick at the same unit."""
    ancestors = [1_250] * 4

    def floors(income: int) -> int:
        fee = income * 500 // 10_000
        rest = income - fee
        return rest - sum(rest * bps // 10_000 for bps in ancestors)

    grown = [floors(income + 1) - floors(income) for income in range(200)]
    assert min(grown) < 0


@given(amount=AMOUNTS, taken=AMOUNTS, part=st.integers(-10, 2**33), whole=st.integers(1, 2**32))
def test_vested_amount_lies_between_what_was_taken_and_the_whole(amount, taken, part, whole):
    taken = min(amount, taken)
    assert taken <= vested_amount(amount, taken, [clamped(part, whole)]) <= amount


@given(price=AMOUNTS, bps=st.integers(0, 2_000))
def test_entry_share_is_at_most_a_fifth_of_the_price(price, bps):
    assert 0 <= entry_share(price, bps) * 5 <= price
