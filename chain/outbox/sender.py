"""One round of the sender of one account."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.faults import fault_point

from chain.errors import LeaseLost
from chain.gateway.errors import Reverted, RpcError
from chain.gateway.parse import number_parse
from chain.gateway.protocol import ChainGateway, Heads
from chain.indexer.lease import LEASE_TIME, lease_release, lease_renew, lease_take, owner_identity
from chain.models import OutboxAccount, OutboxAttempt, OutboxState, OutboxTransaction
from chain.outbox import spend, store
from chain.outbox.broadcast import Sent, is_about_funds, low_balance, raw_send
from chain.outbox.chain_reads import Counts, balance_read, counts_read, is_known
from chain.outbox.errors import LowBalance, OutboxHeld, OutboxMoved, SignerChanged, SpendCapReached
from chain.outbox.fees import Fees, Market, fees_bump, fees_suggest, market_read
from chain.outbox.follow import Follower
from chain.outbox.limits import Limits
from chain.outbox.services import OPERATOR, transaction_enqueue
from chain.outbox.store import Lease, Signed
from chain.signing.errors import SignatureDiffers, SignerRefused
from chain.signing.protocol import Signer, TransactionFields
from chain.transactions import GAS_MARGIN, GAS_ROOM, TransactionRequest

logger = logging.getLogger(__name__)

RENEW_AFTER = LEASE_TIME / 6
TRANSFER_GAS = 21_000
GAP = "outbox.gap"
OPEN = (OutboxState.SIGNED, OutboxState.MINED)


@dataclass(frozen=True, slots=True)
class Step:
    """What one round did. `changes` counts moves and sendings; 0 means that there was nothing to do for now."""

    changes: int = 0
    standby: bool = False


@dataclass
class Sender:
    """Sends what the outbox of one account holds. Not shared between threads; `close` gives the lease back."""

    gateway: ChainGateway
    signer: Signer
    limits: Limits
    name: str = OPERATOR
    owner: str = field(default_factory=owner_identity)
    _token: int | None = None
    _account_id: int | None = None

    def step(self) -> Step:
        """Do one round.

        1. Hold the lease on the account's row, or stand by.
        2. Read the newest and the newest final block, the account's nonces and its balance.
        3. Follow every transaction that is signed or mined (`Follower.follow`).
        4. Each that is signed and in no block: replace it where it was cancelled, send it where the node does not have
           it, and sign it again with higher fees where it is stuck.
        5. While fewer are under way than allowed: estimate the next queued call, give it the lowest free nonce, sign,
           keep the signature, send. A call that would fail now is held, and the next one takes its turn.
        6. Say why nothing more is signed, if a limit of the operator's is the reason.

        Raises the gateway's errors, `SignerUnavailable`, `FeesUnsupported` and `DatabaseError`. After any of them the
        next round begins from what the database says; nothing is assumed of what was sent.
        """
        account = self._lease_hold()
        if account is None or self._token is None:
            return Step(standby=True)
        try:
            return Round(self, account, Lease(account.pk, self._token)).run()
        except LeaseLost:
            logger.info("Another sender took over the lease; standing by.")
            self._token = None
            return Step(standby=True)

    def error_report(self, error: Exception) -> None:
        store.error_report(chain_id=self.gateway.chain_id, name=self.name, token=self._token, error=error)

    def close(self) -> None:
        """Let another sender in at once. Safe to call twice."""
        if self._account_id is not None and self._token is not None:
            lease_release(self._account_id, self._token, of=OutboxAccount)
            self._token = None

    def _lease_hold(self) -> OutboxAccount | None:
        account, _ = OutboxAccount.objects.get_or_create(chain_id=self.gateway.chain_id, name=self.name)
        self._account_id = account.pk
        if self._token is not None and self._token == account.lease_token:
            left = (account.lease_until or timezone.now()) - timezone.now()
            if left > LEASE_TIME - RENEW_AFTER or lease_renew(account.pk, self._token, of=OutboxAccount):
                return account
        self._token = lease_take(account, self.owner)
        return None if self._token is None else account


class Round:
    """One round, with what it read at its beginning."""

    def __init__(self, sender: Sender, account: OutboxAccount, lease: Lease) -> None:
        self.gateway, self.signer, self.limits = sender.gateway, sender.signer, sender.limits
        self.account, self.lease = account, lease
        self.heads: Heads = self.gateway.heads()
        self.counts: dict[str, Counts] = {}
        self.balance_wei = 0
        self.held: OutboxHeld | None = None
        self._market: Market | None = None
        # Rows that were tried this round and wait for another one.
        self._passed: set[int] = set()

    def run(self) -> Step:
        address = self.signer.address
        senders = set(self._open().values_list("sender", flat=True)) | {address}
        # Before any receipt: a nonce that is used now and has no receipt afterwards is worth a closer look.
        self.counts = {sender: counts_read(self.gateway, sender) for sender in sorted(senders)}
        self.balance_wei = balance_read(self.gateway, address)
        store.reading_set(self.lease, address=address, balance_wei=self.balance_wei)
        follower = Follower(self.gateway, self.lease, self.heads, self.counts)
        changes = sum(self._each(row, follower.follow) for row in self._open())
        changes += sum(self._each(row, self._push) for row in self._open().filter(state=OutboxState.SIGNED))
        while self.held is None and (row := self._next()) is not None:
            self._passed.add(row.pk)
            changes += self._each(row, self._first)
        store.alarm_set(self.lease, self.held or self._balance_warning())
        return Step(changes=changes)

    def _open(self) -> QuerySet[OutboxTransaction]:
        rows = OutboxTransaction.objects.filter(account=self.account, state__in=OPEN)
        return rows.order_by("nonce").prefetch_related("attempts")

    def _each(self, row: OutboxTransaction, act: Callable[[OutboxTransaction], bool]) -> int:
        """Do it for one row, so that what is wrong with one does not hold up the others."""
        try:
            return int(act(row))
        except OutboxMoved:
            # An administrator was faster; the next round sees what they did.
            return 1
        except OutboxHeld as held:
            self.held = self.held or held
            return 0
        except (Reverted, SignerRefused, SignatureDiffers, SignerChanged, RpcError) as error:
            return self._trouble(row, error)

    def _trouble(self, row: OutboxTransaction, error: WeighhouseError) -> int:
        if row.state != OutboxState.QUEUED:
            store.reason_set(self.lease, row, error)
            return 0
        # Only what the contract itself says may end a call; a node or a signer that refuses is not the call's fault.
        tries = self.limits.hold_tries if isinstance(error, Reverted) else None
        store.hold_set(self.lease, row, error, hold_s=self.limits.hold_s, tries=tries)
        return 1

    # Transactions that are signed.

    def _push(self, row: OutboxTransaction) -> bool:
        if row.nonce is not None and self.counts[row.sender].latest > row.nonce:
            # The nonce is used; `follow` finds out by whom.
            return False
        attempts = [attempt for attempt in row.attempts.all() if attempt.nonce == row.nonce and attempt.raw]
        # After a re-org that is the one that was in the block.
        newest = max(attempts, key=lambda attempt: (attempt.hash == row.tx_hash, attempt.pk))
        if row.cancel_requested_at is not None and not any(attempt.is_cancel for attempt in attempts):
            return self._replace(row, newest, is_cancel=True)
        if newest.is_underpriced:
            return self._replace(row, newest, is_cancel=newest.is_cancel)
        if newest.sent_at is None or not is_known(self.gateway, newest.hash):
            return self._send(newest)
        if self._is_stuck(row, newest):
            return self._replace(row, newest, is_cancel=newest.is_cancel)
        return False

    def _is_stuck(self, row: OutboxTransaction, newest: OutboxAttempt) -> bool:
        """Sent a while ago, and either the next in the account's order or below what the next block asks for."""
        if newest.sent_at is None or timezone.now() - newest.sent_at < timedelta(seconds=self.limits.stuck_s):
            return False
        is_next = row.nonce == self.counts[row.sender].latest
        return is_next or newest.max_fee_wei < self._market_now().base_wei

    def _replace(self, row: OutboxTransaction, last: OutboxAttempt, *, is_cancel: bool) -> bool:
        if row.sender != self.signer.address:
            message = (
                f"Transaction {row.pk} was signed by {row.sender}; it cannot be replaced by {self.signer.address}."
            )
            raise SignerChanged(message)
        fees = fees_bump(Fees(last.max_fee_wei, last.tip_wei), self._market_now(), cap_wei=self.limits.max_fee_wei)
        gas = TRANSFER_GAS if is_cancel else last.gas
        return self._sign(row, self._fields(row, fees, gas=gas, nonce=last.nonce, is_cancel=is_cancel), is_cancel)

    # Transactions that are queued.

    def _next(self) -> OutboxTransaction | None:
        """The next queued call, where one may be signed; a transfer of nothing where only a gap must be filled."""
        signed = list(self._open().filter(state=OutboxState.SIGNED, sender=self.signer.address))
        has_gap = any(row.nonce is not None and row.nonce > self._nonce_free() for row in signed)
        if len(signed) >= self.limits.max_in_flight and not has_gap:
            return None
        due = Q(not_before=None) | Q(not_before__lte=timezone.now())
        queued = OutboxTransaction.objects.filter(due, account=self.account, state=OutboxState.QUEUED)
        row = queued.exclude(pk__in=self._passed).order_by("pk").first()
        if row is not None or not has_gap:
            return row
        # A filler is money for nothing: never more at once than calls would be.
        fillers = OutboxTransaction.objects.filter(account=self.account, state__in=OPEN, purpose=GAP)
        return self._filler(signed) if fillers.count() < self.limits.max_in_flight else None

    def _filler(self, signed: list[OutboxTransaction]) -> OutboxTransaction | None:
        """Something else was to use this nonce and never will: without it, what we sent stays where it is."""
        nonce, address = self._nonce_free(), self.signer.address
        request = TransactionRequest(self.gateway.chain_id, address, "0x")
        key = f"{GAP}:{self.account.pk}:{address}:{nonce}:{signed[-1].tx_hash}"
        row = transaction_enqueue(purpose=GAP, request=request, dedupe_key=key, account=self.account.name)
        logger.warning("Nonce %d of %s is used by nobody; a transfer of nothing fills the gap.", nonce, address)
        return row if row.state == OutboxState.QUEUED and row.pk not in self._passed else None

    def _nonce_free(self) -> int:
        """The lowest nonce that neither a block, nor the node's waiting room, nor one of ours has."""
        counts = self.counts[self.signer.address]
        taken = set(self._open().filter(sender=self.signer.address).values_list("nonce", flat=True))
        nonce = counts.pending
        while nonce in taken:
            nonce += 1
        return nonce

    def _first(self, row: OutboxTransaction) -> bool:
        fees = fees_suggest(self._market_now(), cap_wei=self.limits.max_fee_wei)
        gas = self._gas(row)
        fault_point("outbox.estimated")
        fields = self._fields(row, fees, gas=gas, nonce=self._nonce_free(), is_cancel=False)
        return self._sign(row, fields, is_cancel=False)

    def _gas(self, row: OutboxTransaction) -> int:
        call = {"from": self.signer.address, "to": row.to, "data": row.data, "value": hex(row.value_wei)}
        try:
            estimate = number_parse(self.gateway.request("eth_estimateGas", [call, "pending"]))
        except RpcError as error:
            if is_about_funds(error):
                raise low_balance() from error
            raise
        return int(estimate * GAS_MARGIN) + GAS_ROOM

    # Both.

    def _fields(
        self, row: OutboxTransaction, fees: Fees, *, gas: int, nonce: int, is_cancel: bool
    ) -> TransactionFields:
        return TransactionFields(
            chain_id=self.gateway.chain_id,
            nonce=nonce,
            to=self.signer.address if is_cancel else row.to,
            value_wei=0 if is_cancel else row.value_wei,
            data="0x" if is_cancel else row.data,
            gas=gas,
            max_fee_wei=fees.max_fee_wei,
            tip_wei=fees.tip_wei,
        )

    def _sign(self, row: OutboxTransaction, fields: TransactionFields, is_cancel: bool) -> bool:
        self._money_check(row, fields.gas * fields.max_fee_wei + fields.value_wei)
        raw = self.signer.sign_transaction(fields)
        fault_point("outbox.signed")
        signed = Signed(fields, raw, self.signer.address, is_cancel, self.heads.latest.number)
        attempt = store.signature_keep(self.lease, row, signed)
        fault_point("outbox.persisted")
        return self._send(attempt)

    def _send(self, attempt: OutboxAttempt) -> bool:
        sent = raw_send(self.gateway, attempt.raw)
        fault_point("outbox.sent")
        store.sent_mark(self.lease, attempt, is_underpriced=sent is Sent.UNDERPRICED)
        fault_point("outbox.marked")
        # Sending again moves nothing: a node that forgets must not make rounds follow each other without a pause.
        return sent is Sent.UNDERPRICED or (attempt.sent_at is None and sent is Sent.ACCEPTED)

    def _money_check(self, row: OutboxTransaction, worst_wei: int) -> None:
        """Raises `SpendCapReached` and `LowBalance`. What the row may cost already is counted already."""
        more = max(worst_wei - (spend.worst_wei(row) if row.state == OutboxState.SIGNED else 0), 0)
        cap, spent = self.limits.daily_spend_wei, spend.spent_wei(self.account)
        if cap and spent + more > cap:
            raise SpendCapReached(
                f"{spent} wei were spent or may be within 24 hours, this transaction may cost {more} more, and"
                f" WEIGHHOUSE_OPERATOR_DAILY_SPEND_WEI is {cap}. Nothing new is signed until earlier spending is older"
                " than a day, or the cap is raised."
            )
        if spend.open_wei(self._open()) + more > self.balance_wei:
            raise low_balance()

    def _balance_warning(self) -> OutboxHeld | None:
        least = self.limits.low_balance_wei
        if self.balance_wei >= least:
            return None
        return LowBalance(
            f"The account {self.signer.address} holds less than {least} wei, from which on the operator wants to know."
            " Transactions go on until it is empty. Send it some of the chain's coin."
        )

    def _market_now(self) -> Market:
        if self._market is None:
            self._market = market_read(self.gateway)
        return self._market
