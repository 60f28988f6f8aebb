"""Where a simulator listens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

DEFAULT_PORT: Final = 41451
"""``ApiServerPort`` when a simulator's settings do not say."""
_PATTERN = re.compile(r"(?P<host>[^\s:/\[\]]+|\[[0-9a-fA-F:.]+\])(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True)
class Address:
    """Where a simulator listens.

    Attributes:
        host: Name or number.
        port: TCP port.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``host``, ``host:port`` or ``[v6]:port``.

        Raises:
            ValueError: It is none of them.

        >>> str(Address.parse("simulator.local:41452"))
        'simulator.local:41452'
        """
        found = _PATTERN.fullmatch(text.strip())
        port = int(found["port"] or DEFAULT_PORT) if found else 0
        if found is None or not 0 < port < 65536:
            raise ValueError(f"got '{text}'; an address looks like 127.0.0.1:{DEFAULT_PORT}")
        return cls(found["host"].strip("[]"), port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
