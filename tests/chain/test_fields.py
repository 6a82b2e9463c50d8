"""`Uint256Field` in a real table."""

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.test.utils import isolate_apps

from chain.fields import UINT256_MAX, Uint256Field

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def numbers():
    with isolate_apps("chain"):

        class Number(models.Model):
            value = Uint256Field(null=True)

            class Meta:
                app_label = "chain"

        with connection.schema_editor() as editor:
            editor.create_model(Number)
        yield Number
        with connection.schema_editor() as editor:
            editor.delete_model(Number)


EDGES = [0, 1, 255, 2**53, 2**53 + 1, 2**63, 2**96 - 1, 2**255, UINT256_MAX]


def test_field_keeps_every_digit_of_256_bits(numbers):
    for value in EDGES:
        row = numbers.objects.create(value=value)
        row.refresh_from_db()
        assert row.value == value


def test_field_orders_and_compares_as_numbers(numbers):
    for value in reversed(EDGES):
        numbers.objects.create(value=value)
    assert list(numbers.objects.order_by("value").values_list("value", flat=True)) == EDGES
    assert numbers.objects.filter(value__gt=2**53).count() == 5
    assert numbers.objects.filter(value__range=(1, 2**63)).count() == 5
    assert numbers.objects.filter(value__in=[0, UINT256_MAX]).count() == 2
    assert numbers.objects.get(value=str(2**255)).value == 2**255


def test_field_takes_none_where_it_may_be_null(numbers):
    assert numbers.objects.get(pk=numbers.objects.create(value=None).pk).value is None
    assert numbers.objects.filter(value__isnull=True).count() == 1


@pytest.mark.parametrize("value", [-1, 2**256, 1.0, True, "-1", "0x10", "1e3", " 1", "١", "", b"1", "abc"])
def test_field_refuses_what_is_no_such_number(numbers, value):
    with pytest.raises(ValidationError):
        numbers.objects.create(value=value)


def test_field_validates_in_full_clean(numbers):
    numbers(value=5).full_clean()
    with pytest.raises(ValidationError):
        numbers(value=-5).full_clean()


def test_field_deconstructs_to_an_equal_field():
    _, path, args, kwargs = Uint256Field(null=True).deconstruct()
    assert (path, args, kwargs) == ("chain.fields.Uint256Field", [], {"null": True})
