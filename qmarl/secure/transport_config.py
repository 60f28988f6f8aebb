"""How messages are protected on their way, as a section of a configuration."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.secure.key_access import KeyLimits, ServiceAccess
from qmarl.secure.links_config import LinksConfig
from qmarl.secure.postquantum import Kem

TransportKind = Literal["plain", "tls", "postquantum", "qkd", "qkd+postquantum", "qsdc"]
"""Ways to protect messages."""


class LineConfig(Section):
    """How one client's messages are protected."""

    shorthand: ClassVar[str | None] = "kind"

    kind: TransportKind = "plain"
    """``plain``: not at all. ``tls``: TLS 1.3 with certificates on both sides. ``postquantum``:
    keys by ``kem``, signed with ML-DSA-65. ``qkd``: keys of the client's quantum link.
    ``qkd+postquantum``: both together, so that either alone suffices. ``qsdc``: the messages
    themselves over the quantum link, without keys."""
    cipher: Literal["aes256gcm", "one_time_pad"] = "aes256gcm"
    """``aes256gcm``: a new key of 256 bits for each direction and round. ``one_time_pad``: as many
    bits of key as a message has, and 256; with ``qkd`` alone."""
    kem: Kem = "x25519-ml-kem-768"
    """How ``postquantum`` agrees on secrets, also where it stands in for quantum keys."""
    on_abort: Literal["skip", "stored", "postquantum", "stop"] = "skip"
    """When a quantum session aborts because of errors, as an eavesdropper makes them: the client
    misses the round, or goes on with ``stored`` keys of earlier rounds while they last, or with
    ``postquantum`` keys in this round, or the run ends. Nothing is ever sent in clear instead."""
    on_starvation: Literal["wait", "postquantum", "skip", "stop"] = "wait"
    """When there is too little key otherwise, because too little light arrived: more sessions are
    run, and the client misses the round if ``wait_sessions`` of them do not help; or it goes on
    with ``postquantum`` keys in this round, or misses it at once, or the run ends."""
    wait_sessions: int = Field(default=4, ge=1, le=1000)
    """Further sessions in a round under ``on_starvation: wait``."""
    seconds: float = Field(default=1.0, gt=0)
    """Time for a quantum session, s; with ``service``, time to wait before asking it again."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cipher == "one_time_pad" and self.kind != "qkd":
            raise ValueError(
                f"cipher: one_time_pad needs 'kind: qkd', not '{self.kind}': a pad is only as good "
                "as its key, and must come from the quantum link whole"
            )
        if self.kind == "qsdc" and self.on_abort == "stored":
            raise ValueError("on_abort: 'stored' needs keys, and 'kind: qsdc' makes none")
        return self

    @property
    def quantum(self) -> bool:
        """Whether it needs a quantum link."""
        return self.kind in ("qkd", "qkd+postquantum", "qsdc")


class TransportConfig(LineConfig):
    """How messages between clients and server are protected; one line for everyone, or by name."""

    links: LinksConfig = LinksConfig()
    """The clients' quantum links, where the kind needs them."""
    service: ServiceAccess | None = None
    """A key service that gives ``qkd`` its keys in the place of simulated ``links``."""
    limits: KeyLimits = KeyLimits()
    """Sizes of quantum keys, and how many are stored for each client."""
    overrides: dict[Annotated[str, Field(min_length=1)], LineConfig] = Field(default_factory=dict)
    """Other lines, by client; each is a section of its own and takes nothing from this one."""
    hide_clients: bool = False
    """Whether a mix stands between clients and server: every round it deals the clients new names
    and hands their sealed updates on in an order that says nothing. It knows who sent an update and
    not what is in it; the server, the other way round."""

    def of(self, client: str) -> LineConfig:
        """Returns how a client's messages are protected."""
        return self.overrides.get(client, self)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        kinds = [self.kind, *(each.kind for each in self.overrides.values())]
        if self.hide_clients and "plain" in kinds:
            raise ValueError(
                "hide_clients: over a plain line everybody sees who sends; protect every line"
            )
        if not self.limits.min_key_size <= 256 <= self.limits.max_key_size:
            raise ValueError("limits: the cipher needs keys of 256 bits, so they must be allowed")
        return self

    @property
    def plain(self) -> bool:
        """Whether nothing is protected at all."""
        return self.kind == "plain" and all(
            each.kind == "plain" for each in self.overrides.values()
        )
