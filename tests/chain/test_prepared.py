"""Prepared statements find, change and write what the same query of Django's does."""

import contextlib
import gc
import threading
import uuid
import weakref
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Greatest
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chain.prepared import Prepared, PreparedInsert, PreparedUpdate
from marketplace.accounts.models import Account, ApiKey
from marketplace.accounts.services import api_key_create
from marketplace.inference.models import CallEntry, Job, JobState, LicenceUse

pytestmark = pytest.mark.django_db(transaction=True)

LICENCE = 7 << 128 | 3
PURCHASE = "0x" + "ab" * 32


def job_of(account, **fields) -> Job:
    return Job(
        **{
            "account": account,
            "model_id": 5,
            "licence_id": LICENCE,
            "release_digest": "0x" + "cd" * 32,
            "task": "fill-mask",
            "checked_block_number": 4,
            "checked_block_hash": "0x" + "ef" * 32,
            "start_before": timezone.now() + timedelta(hours=1),
        }
        | fields
    )


@pytest.fixture
def use(db) -> LicenceUse:
    LicenceUse.objects.create(licence_id=LICENCE + 1, purchase=PURCHASE, used=50)
    return LicenceUse.objects.create(licence_id=LICENCE, purchase=PURCHASE, used=5, reserved=2)


@Prepared
def key_of_prefix(prefix):
    return ApiKey.objects.select_related("account").filter(prefix=prefix)


@Prepared
def job_of_id(job_id, before):
    return Job.objects.select_related("account", "api_key").filter(pk=job_id, created_at__lt=before)


@Prepared
def uses_at_least(used):
    return LicenceUse.objects.filter(used__gte=used).order_by("licence_id")


@Prepared
def numbers_of_use(licence_id, purchase):
    rows = LicenceUse.objects.filter(licence_id=licence_id, purchase=purchase)
    return rows.values_list("licence_id", "used")


@Prepared
def uses_of(licence_ids, purchases, most):
    rows = LicenceUse.objects.filter(licence_id__in=licence_ids, purchase__in=purchases, used__lt=most)
    return rows.order_by("-licence_id")


@Prepared
def jobs_of_uses(purchase, account_id):
    bought = LicenceUse.objects.filter(purchase=purchase).values("licence_id")
    named = LicenceUse.objects.filter(licence_id=OuterRef("licence_id"), purchase=purchase)
    return Job.objects.filter(Exists(named), account=account_id, licence_id__in=bought)


@Prepared
def jobs_of_no_use(licence_id):
    used = LicenceUse.objects.filter(licence_id=licence_id)
    return Job.objects.filter(~Exists(used))


@Prepared
def uses_not_of(licence_ids):
    return LicenceUse.objects.exclude(licence_id__in=licence_ids)


@Prepared
def account_locked(account_id):
    return Account.objects.select_for_update().filter(pk=account_id)


@PreparedUpdate
def job_started(job_id, now, token, error):
    rows = Job.objects.filter(Q(run_after=None) | Q(run_after__lte=now), pk=job_id, state=JobState.QUEUED)
    changes = {"state": JobState.RUNNING, "started_at": now, "lease_token": token, "error": error}
    return rows, {**changes, "attempts": F("attempts") + 1}


@PreparedUpdate
def use_taken(licence_id, calls, known, most):
    rows = LicenceUse.objects.filter(licence_id=licence_id, reserved__lte=Value(100) - F("used") - most)
    return rows, {"reserved": F("reserved") + calls, "used": Greatest(F("used"), known)}


def test_rows_are_the_instances_that_django_gives(buyer, outsider):
    for owner in (buyer, outsider):
        api_key_create(account=owner, name="a test", scopes=["run"])
    row = ApiKey.objects.select_related("account").get(account=outsider)

    found = key_of_prefix.first(prefix=row.prefix)

    assert found is not None
    assert {field.attname: getattr(found, field.attname) for field in ApiKey._meta.concrete_fields} == {
        field.attname: getattr(row, field.attname) for field in ApiKey._meta.concrete_fields
    }
    with CaptureQueriesContext(connection) as asked:
        assert found.account == outsider
    assert not asked.captured_queries
    found.name = "another"
    found.save()
    assert ApiKey.objects.get(pk=row.pk).name == "another"


def test_each_call_has_its_own_values(buyer, outsider):
    for owner in (buyer, outsider):
        api_key_create(account=owner, name=owner.address, scopes=["run"])
    rows = list(ApiKey.objects.all())

    assert [key_of_prefix.first(prefix=row.prefix) for row in rows] == rows
    assert key_of_prefix.first(prefix="nobody's") is None


def test_values_become_what_a_field_stores(buyer):
    job = job_of(buyer, fingerprint={"device": "cpu"})
    job.save()

    found = job_of_id.first(job_id=job.pk, before=job.created_at + timedelta(microseconds=1))

    assert found == job
    assert (found.licence_id, found.fingerprint, found.created_at) == (LICENCE, {"device": "cpu"}, job.created_at)
    assert (found.account, found.api_key) == (buyer, None)
    assert job_of_id.first(job_id=job.pk, before=job.created_at) is None
    assert job_of_id.first(job_id=str(job.pk), before=timezone.now()) == job
    assert job_of_id.first(job_id=uuid.uuid4(), before=timezone.now()) is None


def test_columns_and_order_are_kept(use):
    assert numbers_of_use.rows(licence_id=LICENCE, purchase=PURCHASE) == [(LICENCE, 5)]
    assert [row.used for row in uses_at_least.rows(used=1)] == [5, 50]


@pytest.mark.parametrize(
    ("ids", "found"),
    [([LICENCE], [5]), ([LICENCE, LICENCE + 1], [50, 5]), ([LICENCE + 2, LICENCE], [5]), ([], [])],
)
def test_a_list_may_have_any_length(use, ids, found):
    for purchases in ([PURCHASE], ["0x" + "ba" * 32, PURCHASE]):
        assert [row.used for row in uses_of.rows(licence_ids=ids, purchases=purchases, most=51)] == found
    assert uses_of.rows(licence_ids=ids, purchases=[PURCHASE], most=5) == []
    assert uses_of.count(licence_ids=ids, purchases=[PURCHASE], most=51) == len(found)


def test_queries_within_take_values_too(use, buyer, outsider):
    mine, other = job_of(buyer), job_of(outsider)
    mine.save()
    other.save()

    assert jobs_of_uses.rows(purchase=PURCHASE, account_id=buyer.pk) == [mine]
    assert jobs_of_uses.rows(purchase="0x", account_id=buyer.pk) == []


def test_queries_that_find_nothing_take_values_too(use, buyer):
    job = job_of(buyer)
    job.save()

    assert jobs_of_no_use.rows(licence_id=LICENCE) == []
    assert jobs_of_no_use.rows(licence_id=LICENCE + 2) == [job]


def test_what_is_in_no_list_cannot_be_asked_for(use):
    with pytest.raises(ValueError, match="in no list"):
        uses_not_of.rows(licence_ids=[])


def test_rows_are_locked_in_a_transaction_alone(buyer):
    with transaction.atomic():
        assert account_locked.first(account_id=buyer.pk) == buyer
    with pytest.raises(TransactionManagementError):
        account_locked.first(account_id=buyer.pk)


def test_an_error_that_is_caught_within_a_transaction_takes_all_of_it_back(buyer):
    job = job_of(buyer)
    with pytest.raises(TransactionManagementError), transaction.atomic():
        PreparedInsert(Job)(job)
        with contextlib.suppress(IntegrityError):
            PreparedInsert(Job)(job)
        Job.objects.count()
    assert Job.objects.count() == 0


def test_the_connection_of_a_thread_goes_with_it(use):
    statements: list[object] = []
    kept: list[weakref.ref[object]] = []

    def ask() -> None:
        fresh = Prepared(lambda used: LicenceUse.objects.filter(used__gte=used))
        assert len(fresh.rows(used=1)) == 2
        statements.append(fresh)
        kept.append(weakref.ref(connections["default"]))
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    gc.collect()
    assert statements
    assert kept[0]() is None


def test_an_expression_takes_whole_numbers_alone(use):
    with pytest.raises(TypeError):
        use_taken(licence_id=LICENCE, calls="1", known=9, most=0)


def test_a_count_may_be_bounded(use):
    assert [uses_at_least.count(used=used) for used in (1, 6, 51)] == [2, 1, 0]
    assert uses_at_least.count(1, used=1) == 1
    assert [row.used for row in uses_at_least.rows(1, used=1)] == [5]


def test_an_update_changes_what_its_conditions_find(buyer):
    job, other = job_of(buyer), job_of(buyer)
    job.save()
    other.save()
    now, token = timezone.now(), uuid.uuid4()

    given = {"now": now, "token": token, "error": {"code": "node.down", "tries": [1, None]}}
    assert [job_started(job_id=job.pk, **given) for _ in range(2)] == [1, 0]

    job.refresh_from_db()
    other.refresh_from_db()
    assert (job.state, job.started_at, job.lease_token, job.attempts) == (JobState.RUNNING, now, token, 1)
    assert (job.error, other.error, other.state) == (given["error"], None, JobState.QUEUED)


def test_none_is_written_as_null(buyer):
    job = job_of(buyer, error={"code": "old"})
    job.save()

    assert job_started(job_id=job.pk, now=timezone.now(), token=None, error=None) == 1

    assert Job.objects.filter(pk=job.pk, error__isnull=True, lease_token=None).exists()


def test_values_take_part_in_arithmetic(use):
    assert use_taken(licence_id=LICENCE, calls=3, known=9, most=93) == 1
    use.refresh_from_db()
    assert (use.reserved, use.used) == (5, 9)

    assert use_taken(licence_id=LICENCE, calls=3, known=9, most=87) == 0
    use.refresh_from_db()
    assert (use.reserved, use.used) == (5, 9)


def test_an_insert_writes_what_save_writes(buyer):
    first, second = job_of(buyer, fingerprint={"a": 1}), job_of(buyer, fingerprint={"a": 1})
    first.save(force_insert=True)
    PreparedInsert(Job)(second)
    names = [field.attname for field in Job._meta.concrete_fields if field.attname not in ("id", "created_at")]
    written = [Job.objects.values_list(*names).get(pk=row.pk) for row in (first, second)]
    places = [place for place, name in enumerate(names) if name not in ("start_before", "enqueued_at")]

    saved, inserted = ([row[place] for place in places] for row in written)
    assert saved == inserted
    assert Job.objects.get(pk=second.pk).created_at == second.created_at
    with pytest.raises(IntegrityError):
        PreparedInsert(Job)(second)


def test_the_database_gives_a_key_of_its_own(buyer):
    job = job_of(buyer)
    job.save()

    PreparedInsert(CallEntry)(CallEntry(job=job, licence_id=LICENCE, purchase=PURCHASE, limit=7, calls=2))

    entry = CallEntry.objects.get(job=job)
    assert (entry.licence_id, entry.calls, entry.limit, entry.pk > 0) == (LICENCE, 2, 7, True)


def test_values_cannot_be_sql(buyer):
    api_key_create(account=buyer, name="a test", scopes=["run"])

    assert key_of_prefix.first(prefix="' OR 1=1 --") is None
    assert key_of_prefix.first(prefix="%s") is None


def test_a_missing_value_is_an_error(db):
    with pytest.raises(KeyError):
        key_of_prefix.first()


def test_threads_do_not_mix_their_values(buyer, outsider):
    for owner in (buyer, outsider):
        api_key_create(account=owner, name="a test", scopes=["run"])
    rows = list(ApiKey.objects.select_related("account"))
    wrong: list[str] = []

    def ask(row: ApiKey) -> None:
        try:
            for _ in range(200):
                found = key_of_prefix.first(prefix=row.prefix)
                if found is None or found.account.address != row.account.address:
                    wrong.append(row.prefix)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(row,)) for row in rows * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert Account.objects.count() == 2
