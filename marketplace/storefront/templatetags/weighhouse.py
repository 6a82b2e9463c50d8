"""How on-chain values read on a page."""

from datetime import datetime
from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from weighhouse.core.cid import digest_parse, root_cid

from chain.explorer_links import explorer_url
from marketplace.licences.selectors.sentences import Part
from marketplace.licences.tokens import amount_text, token_get
from marketplace.storefront.cards import card_html
from models_registry.runtime.tasks import TASKS

register = template.Library()

_UNITS = ((365 * 86_400, "year"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_SIZES = ("B", "kB", "MB", "GB", "TB")


@register.filter
def short(text: str) -> str:
    """The two ends of a hash, an address or a CID."""
    return f"{text[:6]}…{text[-4:]}" if len(text) > 14 else text


@register.simple_tag
def hashed(text: str, label: str = "") -> SafeString:
    """A long identifier: short on the page, whole in its title and in the clipboard."""
    if not text:
        return format_html('<span class="muted">{}</span>', "none")
    return format_html(
        '<span class="hash"><code title="{0}">{1}</code>'
        '<button type="button" class="copy" data-copy="{0}" aria-label="Copy {2}">Copy</button></span>',
        text,
        short(text),
        label or "it",
    )


@register.simple_tag
def tx_link(tx_hash: str) -> SafeString:
    """A transaction, linked to the explorer where the site names one."""
    return _explorer_link("tx", tx_hash, hashed(tx_hash, "the transaction's hash"))


@register.simple_tag
def address_link(address: str) -> SafeString:
    """An address, linked to its page here, and to the explorer where the site names one."""
    if not address:
        return hashed("")
    inside = format_html(
        '<span class="hash"><a href="{0}" class="mono" title="{1}">{2}</a>'
        '<button type="button" class="copy" data-copy="{1}" aria-label="Copy the address">Copy</button></span>',
        reverse("account", args=[address]),
        address,
        short(address),
    )
    return _explorer_link("address", address, inside)


@register.simple_tag
def block_link(number: int) -> SafeString:
    """A block's number, linked to the explorer where the site names one."""
    return _explorer_link("block", number, format_html('block <span class="number">{}</span>', number))


@register.simple_tag
def activity_part(part: Part) -> SafeString:
    """A piece of an event's sentence, linked to what it names."""
    match part.kind:
        case "account":
            return format_html('<a href="{}" class="mono" title="{}">{}</a>', _page(part), part.value, part.text)
        case "model" | "licence" | "operator":
            return format_html('<a href="{}">{}</a>', _page(part), part.text)
        case "plan":
            plan_id = int(part.value)
            model = reverse("model", args=[plan_id >> 32])
            return format_html('<a href="{}#plan-{}">{}</a>', model, plan_id & 0xFFFFFFFF, part.text)
        case _:
            return format_html("{}", part.text)


def _page(part: Part) -> str:
    return reverse(part.kind, args=[part.value if part.kind == "account" else int(part.value)])


def _explorer_link(kind: str, value: str | int, shown: SafeString) -> SafeString:
    url = explorer_url(kind, value)
    if not url:
        return shown
    link = '{} <a href="{}" rel="noopener noreferrer" class="explorer"><small>explorer</small></a>'
    return format_html(link, shown, url)


@register.filter
def amount(value: int, token: str) -> str:
    """Money of a token, in its own unit and with its symbol."""
    return amount_text(value, token)


@register.filter
def symbol(address: str) -> str:
    """A token's symbol where this site knows the token; its own `symbol()` is a stranger's word."""
    token = token_get(address)
    return token.symbol if token else f"token {short(address)}"


@register.filter
def period(seconds: int) -> str:
    """A plan's period in words; 0 is perpetual."""
    if not seconds:
        return "perpetual"
    for size, name in _UNITS:
        count, rest = divmod(seconds, size)
        if count and not rest:
            return f"{count} {name}" + ("s" if count > 1 else "")
    return f"{seconds} seconds"


@register.filter
def task_title(name: str) -> str:
    """A task's title, or its name where this site does not run it."""
    return TASKS[name].title if name in TASKS else name


@register.filter
def size(count: int) -> str:
    """Bytes in decimal units."""
    value = float(count or 0)
    for unit in _SIZES:
        if value < 1000 or unit == _SIZES[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


@register.filter
def moment(when: datetime | None) -> SafeString:
    """A time in UTC, to the minute, machine-readable too."""
    if when is None:
        return format_html('<span class="muted">{}</span>', "never")
    utc = when.astimezone(timezone.get_default_timezone())
    return format_html('<time datetime="{}">{} UTC</time>', utc.isoformat(), utc.strftime("%-d %b %Y, %H:%M"))


@register.filter
def day(when: datetime | None) -> SafeString:
    """A day in UTC with its hour, for an axis."""
    if when is None:
        return SafeString("")
    utc = when.astimezone(timezone.get_default_timezone())
    return format_html('<time datetime="{}">{}</time>', utc.isoformat(), utc.strftime("%-d %b %Y, %H:%M"))


@register.filter
def second(when: datetime | None) -> SafeString:
    """A time in UTC, to the second, machine-readable too."""
    if when is None:
        return moment(None)
    utc = when.astimezone(timezone.get_default_timezone())
    return format_html('<time datetime="{}">{} UTC</time>', utc.isoformat(), utc.strftime("%-d %b %Y, %H:%M:%S"))


@register.filter
def span(seconds: int | None) -> str:
    """A length of time in its largest whole unit, for people: `3 minutes`. Below a minute in seconds."""
    count = max(int(seconds or 0), 0)
    size, name = next(((size, name) for size, name in _UNITS if count >= size), _UNITS[-1])
    return f"{count // size} {name}" + ("s" if count // size != 1 else "")


@register.filter
def ago(seconds: int | None) -> str:
    """How long ago something was."""
    return "" if seconds is None else f"{span(seconds)} ago"


@register.filter
def percent(value: float) -> str:
    return f"{value * 100:.1f} %"


@register.filter
def bps(value: int) -> str:
    """Basis points as a percentage, exact: 250 is 2.5 %."""
    text = f"{value / 100:.2f}".rstrip("0").rstrip(".")
    return f"{text} %"


@register.filter
def card(text: str) -> SafeString:
    return SafeString(card_html(text))


@register.filter
def cid(digest: str) -> str:
    """The root CID that a digest on chain determines."""
    return str(root_cid(digest_parse(digest)))


@register.filter
def lookup(mapping: dict[Any, Any], key: Any) -> Any:
    return mapping.get(key)
