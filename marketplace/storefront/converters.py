"""On-chain values in URLs."""


class Uint256Converter:
    """A 256-bit integer in decimal digits, without leading zeros."""

    regex = "0|[1-9][0-9]{0,77}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if number >= 2**256:
            raise ValueError("beyond 256 bits")
        return number

    def to_url(self, value: int) -> str:
        return str(value)


class DigestConverter:
    """A release's digest: `0x` and 64 lower-case hex digits."""

    regex = "0x[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value
