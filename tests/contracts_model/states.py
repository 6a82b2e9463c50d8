"""What the model of the market remembers: plans, licences, operators, credits, and the clock of a model."""

from dataclasses import dataclass, field

RUN, DOWNLOAD, TRANSFERABLE, RENEWABLE = 1, 2, 4, 8
NATIVE = "0x" + "00" * 20
NOBODY = NATIVE

HOUR, DAY = 3_600, 86_400
MAX_PERIOD = 3_650 * DAY
MAX_FEE_BPS, MAX_SERVICE_BPS, MAX_ENTRY_BPS = 500, 5_000, 2_000
MAX_CALLS = 2**31 - 1
MIN_VESTING, MAX_VESTING = HOUR, 90 * DAY
REPORT_WINDOW = 6 * HOUR
SUSPENSION = 14 * DAY
SETTLE_AFTER = 90 * DAY
BATCH = 50


@dataclass(frozen=True)
class Terms:
    """A plan's terms, under the names of the contract's struct."""

    modelId: int  # noqa: N815 - the names of the interface
    token: str = NATIVE
    price: int = 1_000
    period: int = 0
    vesting: int = 0
    calls: int = 0
    supply: int = 10
    feeBps: int = 0  # noqa: N815
    operatorId: int = 0  # noqa: N815
    serviceBps: int = 0  # noqa: N815
    entryBps: int = 0  # noqa: N815
    flags: int = RUN


@dataclass
class Plan:
    terms: Terms
    live: int = 0
    sold: int = 0
    retired: bool = False
    earned: int = 0
    split: int = 0


@dataclass
class Licence:
    """Times are on the model clock, except `cancelled_at`, which is block time."""

    plan_id: int
    owner: str
    amount: int
    start: int
    expiry: int
    total: int
    taken: int = 0
    used: int = 0
    base: int = 0
    cancelled_at: int | None = None


@dataclass(frozen=True)
class Request:
    """What a holder signs to have a release key delivered, and what is delivered."""

    recipient_key: str
    deadline: int
    # Not signed by the holder: part of the delivery.
    wrapped_key_hash: str = field(compare=False, default="0x" + "00" * 32)


@dataclass
class Operator:
    owner: str
    key: str
    payee: str
    disabled: bool = False


@dataclass
class Credit:
    open: int = 0
    withdrawn: int = 0


@dataclass
class Clock:
    """The clock of a model: block time less the seconds for which the model was suspended."""

    suspended_at: int = 0
    # Block time at which the suspension lapses by itself; None once it is confirmed.
    lapses_at: int | None = None
    # Of the suspensions that are over.
    seconds: int = 0

    def _lapsed(self, now: int) -> bool:
        return bool(self.suspended_at) and self.lapses_at is not None and now >= self.lapses_at

    def suspended_since(self, now: int) -> int:
        """Block time since which the model is suspended, 0 where it is not."""
        return 0 if self._lapsed(now) else self.suspended_at

    def behind(self, now: int) -> int:
        """How many seconds the clock is behind block time."""
        if not self.suspended_at:
            return self.seconds
        end = self.lapses_at if self._lapsed(now) else now
        assert end is not None
        return self.seconds + end - self.suspended_at

    def time(self, now: int) -> int:
        return now - self.behind(now)

    def close(self, now: int) -> None:
        """Count a suspension that ends now, or that lapsed before."""
        self.seconds = self.behind(now)
        self.suspended_at, self.lapses_at = 0, None


@dataclass
class Books:
    """Money. Accounts are addresses; models' credits are theirs whoever owns them."""

    balances: dict[tuple[str, str], int] = field(default_factory=dict)
    models: dict[tuple[int, str], Credit] = field(default_factory=dict)
    accounts: dict[tuple[str, str], Credit] = field(default_factory=dict)

    def move(self, token: str, amount: int, *, source: str, to: str) -> None:
        self.balances[token, source] = self.balances.get((token, source), 0) - amount
        self.balances[token, to] = self.balances.get((token, to), 0) + amount

    def credit_model(self, model_id: int, token: str, amount: int) -> None:
        self.models.setdefault((model_id, token), Credit()).open += amount

    def credit_account(self, account: str, token: str, amount: int) -> None:
        self.accounts.setdefault((account, token), Credit()).open += amount
