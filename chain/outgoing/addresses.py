"""Which addresses of the internet a stranger may make the site connect to."""

import ipaddress

from chain.outgoing.errors import OutgoingRefusedError

# Served to the machines of a cloud at an address that is public by its number (Azure's WireServer).
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# Addresses that carry an IPv4 address for a relay to connect to (6to4, and Teredo with the rest of its block), and
# special ranges that Python 3.11 still calls global: protocol assignments, 6to4's relays, documentation (RFC 9637).
_SPECIAL_6 = tuple(ipaddress.ip_network(text) for text in ("2002::/16", "2001::/23", "3fff::/20"))
_SPECIAL_4 = tuple(ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24"))


def address_is_public(text: str) -> bool:
    """Whether a numeric address is a unicast one that anybody on the internet could be.

    Refuses private, shared, loopback, link-local, multicast, reserved and documentation ranges, the metadata services
    of clouds (169.254.169.254, fd00:ec2::254 and 100.100.100.200 lie in those ranges), IPv4 in IPv6 clothes, and what
    is no address. IANA special-purpose address registries, RFC 6890, RFC 4291, RFC 6052.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address_is_public(str(address.ipv4_mapped))
        if address not in _GLOBAL_UNICAST or any(address in network for network in _SPECIAL_6):
            return False
    elif any(address in network for network in _SPECIAL_4):
        return False
    if address in _METADATA or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return address.is_global


def address_is_numeric(text: str) -> bool:
    """Whether a host is an address and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def addresses_require_public(addresses: list[str]) -> None:
    """Raises OutgoingRefusedError where one of a host's addresses is not public: a mixed answer is an attempt."""
    if not addresses or not all(address_is_public(address) for address in addresses):
        raise OutgoingRefusedError(
            "The host's name leads to an address that is not public: private, loopback, link-local, multicast or "
            "reserved. Name a host that anybody on the internet can reach."
        )
