"""`send_transactions` and `outbox` as processes: killed at every point, doubled, ended, without a key."""

import signal
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from chain.development import OPERATOR_KEY
from chain.models import OutboxAccount, OutboxAttempt, OutboxTransaction
from chain.outbox.selectors import outbox_status

pytestmark = pytest.mark.django_db(transaction=True)

POINTS = [
    "outbox.estimated",
    "outbox.signed",
    "outbox.in_persist",
    "outbox.persisted",
    "outbox.sent",
    "outbox.marked",
    "outbox.receipt_seen",
    "outbox.in_mined",
    "outbox.mined",
]


def outcomes() -> list[str]:
    return list(OutboxTransaction.objects.order_by("pk").values_list("outcome", flat=True))


@pytest.mark.parametrize("point", [*POINTS, "outbox.persisted:2", "outbox.sent:3", "outbox.in_mined:2"])
def test_sender_killed_at_a_fault_point_and_restarted_sends_everything_exactly_once(outbox, manage, tmp_path, point):
    for units in (1, 2, 3):
        outbox.mint(units)
    victim = manage("send_transactions", env={"WEIGHHOUSE_FAULTS": point, "WEIGHHOUSE_FAULTS_DIR": str(tmp_path)})
    acknowledged = tmp_path / point.partition(":")[0]
    victim.wait_until(acknowledged.exists, what="acknowledging the fault point", timeout_s=90)
    assert int(acknowledged.read_text()) == victim.pid
    victim.kill()

    # Nobody waits for the dead process's lease to run out.
    OutboxAccount.objects.update(lease_until=timezone.now() + timedelta(hours=1))
    outbox.work()
    assert outbox.minted() == [1, 2, 3]
    assert outcomes() == ["succeeded"] * 3
    assert OutboxAttempt.objects.count() == 3, "none was signed again"


def test_sender_killed_before_it_calls_a_transaction_final_does_so_later(outbox, manage, tmp_path):
    row = outbox.mint(1)
    outbox.work()
    outbox.finalise()
    faults = {"WEIGHHOUSE_FAULTS": "outbox.before_final", "WEIGHHOUSE_FAULTS_DIR": str(tmp_path)}
    victim = manage("send_transactions", env=faults)
    victim.wait_until((tmp_path / "outbox.before_final").exists, what="acknowledging", timeout_s=90)
    victim.kill()
    row.refresh_from_db()
    assert row.state == "mined"
    outbox.work()
    row.refresh_from_db()
    assert (row.state, outbox.minted()) == ("final", [1])


def test_sender_killed_while_it_replaces_a_stuck_transaction_has_one_of_the_two_mined(
    outbox, by_hand, manage, tmp_path
):
    row = outbox.mint(1)
    env = {"WEIGHHOUSE_OUTBOX_STUCK_S": "0", "WEIGHHOUSE_OUTBOX_POLL_INTERVAL_S": "0.05"}
    faults = {"WEIGHHOUSE_FAULTS": "outbox.persisted:2", "WEIGHHOUSE_FAULTS_DIR": str(tmp_path)}
    victim = manage("send_transactions", env=env | faults)
    victim.wait_until((tmp_path / "outbox.persisted").exists, what="keeping the replacement", timeout_s=90)
    victim.kill()
    first, second = outbox.attempts(row)
    assert outbox.pool() == {first.nonce: first.hash}
    by_hand()
    again = manage("send_transactions", "--once", env=env)
    assert again.process.wait(90) == 0, again.output()
    row.refresh_from_db()
    assert (outbox.minted(), row.tx_hash, row.outcome) == ([1], first.hash, "succeeded")
    assert second.sent_at is None


def test_two_senders_at_once_send_everything_once_also_when_the_first_is_killed(outbox, manage):
    for units in range(1, 6):
        outbox.mint(units)
    env = {"WEIGHHOUSE_OUTBOX_POLL_INTERVAL_S": "0.05"}
    both = [manage("send_transactions", env=env), manage("send_transactions", env=env)]
    both[0].wait_until(lambda: outcomes() == ["succeeded"] * 5, what="sending", timeout_s=90)
    holder = next(one for one in both if f"/{one.pid}/" in OutboxAccount.objects.get().lease_owner)
    other = next(one for one in both if one is not holder)
    holder.kill()
    outbox.mint(6)
    other.wait_until(lambda: outcomes() == ["succeeded"] * 6, what="taking over", timeout_s=90)
    assert outbox.minted() == [1, 2, 3, 4, 5, 6]
    assert OutboxAttempt.objects.count() == 6
    assert other.stop() == 0


def test_sender_told_to_end_gives_its_lease_back_and_its_key_is_in_no_line(outbox, manage):
    outbox.mint(1)
    env = {"WEIGHHOUSE_LOG_LEVEL": "DEBUG", "WEIGHHOUSE_OPERATOR_KEY": OPERATOR_KEY.key}
    sender = manage("send_transactions", env=env)
    sender.wait_until(lambda: outcomes() == ["succeeded"], what="sending", timeout_s=90)
    sender.process.send_signal(signal.SIGTERM)
    assert sender.process.wait(60) == 0
    assert OutboxAccount.objects.get().lease_owner == ""
    assert OPERATOR_KEY.address in sender.output()
    assert OPERATOR_KEY.key[2:] not in sender.output().lower()
    assert "Traceback" not in sender.output()


def test_sender_without_its_node_says_so_fails_nothing_and_goes_on(outbox, manage):
    outbox.mint(1)
    lost = manage("send_transactions", env={"WEIGHHOUSE_RPC_URL": "http://127.0.0.1:1/SECRET"})
    lost.wait_until(lambda: outbox_status().error_code == "chain.node_unavailable", what="noticing", timeout_s=90)
    assert lost.stop() == 0
    assert "SECRET" not in lost.output() + outbox_status().error_message
    assert OutboxTransaction.objects.get().state == "queued"
    assert manage("send_transactions", "--once").process.wait(90) == 0
    assert outbox.minted() == [1]


def test_sender_without_a_key_or_with_one_of_another_form_says_what_to_set(manage):
    outside = {
        "WEIGHHOUSE_DEMO": "false",
        "WEIGHHOUSE_DEMO_WALLET": "false",
        "WEIGHHOUSE_SITE_URL": "https://x.example",
    }
    bare = manage("send_transactions", env=outside)
    assert bare.process.wait(90) == 1
    assert "WEIGHHOUSE_OPERATOR_KEY_FILE" in bare.output()
    broken = manage("send_transactions", env={"WEIGHHOUSE_OPERATOR_KEY": "beef" * 3})
    assert broken.process.wait(90) == 1
    assert "32 bytes" in broken.output()
    assert "beef" not in broken.output()


def told(*arguments: str) -> str:
    out = StringIO()
    call_command("outbox", *arguments, stdout=out)
    return out.getvalue()


def test_outbox_command_lists_cancels_retries_and_prunes(outbox):
    row, kept = outbox.mint(1), outbox.mint(2)
    assert "2 queued, 0 of them held" in told("status")
    assert "outbox.sender_silent" in told("status")
    assert told("cancel", str(row.pk)).startswith(f"{row.pk} test.mint cancelled")
    assert told("list", "--state", "queued") == f"{kept.pk} test.mint queued nonce - -\n"
    with pytest.raises(CommandError, match=r"outbox.not_open"):
        call_command("outbox", "cancel", str(row.pk))
    with pytest.raises(CommandError, match=r"outbox.not_found"):
        call_command("outbox", "retry", "999999")
    assert "test.mint queued" in told("retry", str(row.pk))
    outbox.work()
    outbox.finalise()
    outbox.work()
    assert sorted(outbox.minted()) == [1, 2]
    OutboxTransaction.objects.update(state_at=timezone.now() - timedelta(days=91))
    assert told("prune") == "3 deleted.\n"
    assert told("list") == ""


def test_outbox_is_listed_by_its_newest_transactions_first(outbox):
    rows = [outbox.mint(units) for units in (1, 2, 3)]
    lines = told("list", "--limit", "2").splitlines()
    assert [line.split()[0] for line in lines] == [str(rows[2].pk), str(rows[1].pk)]
