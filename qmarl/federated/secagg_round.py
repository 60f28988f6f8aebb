"""A round of secure aggregation from start to end: its clients and their server over a channel."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from qmarl.errors import UndeliveredError
from qmarl.federated.round_report import Rejection
from qmarl.federated.secagg import SecureAggregationError, SecureSession
from qmarl.federated.secagg_client import SecureClient
from qmarl.federated.secagg_identity import Identity
from qmarl.federated.secagg_server import SecureServer, SecureSum
from qmarl.federated.transport import SERVER
from qmarl.types import Array, Channel, Link


class SecureRound:
    """Plays all parties of one round in this process; what travels between them is bytes.

    A client that fails, and one whose message does not get through, has dropped out.

    Args:
        session: The round.
        identities: Signing keys of the clients that take part.
        channel: What carries the bytes.

    Attributes:
        server: The server's side.
        clients: The clients' sides, by name.
        inbox: What each client that is still there has to answer next.
        refused: What clients refused, or could not deliver, and why.
    """

    def __init__(
        self, session: SecureSession, identities: Mapping[str, Identity], channel: Channel
    ) -> None:
        self.server = SecureServer(session)
        self.clients = {
            name: SecureClient(session, name, identity) for name, identity in identities.items()
        }
        self.inbox = dict.fromkeys(sorted(identities), b"")
        self.refused: list[Rejection] = []
        self._channel = channel
        self._round = session.round

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """Everything that was not used: by the server, and by clients."""
        return (*self.server.rejected, *self.refused)

    def run(self, vectors: Mapping[str, Array]) -> SecureSum:
        """Returns the sum.

        Args:
            vectors: ``(size,)`` by client; one that has none drops out when it is asked for it.

        Raises:
            SecureAggregationError: Too few clients were left, or one dealt false shares.
        """
        while self.server.stage != "done":
            self.exchange(vectors)
        return self.server.total()

    def exchange(
        self, vectors: Mapping[str, Array], absent: Collection[str] = ()
    ) -> dict[str, bytes]:
        """Plays one stage and returns what the clients sent.

        Args:
            vectors: As in :meth:`run`.
            absent: Clients that drop out now.

        Raises:
            SecureAggregationError: Too few clients are left.
        """
        sent: dict[str, bytes] = {}
        for name in sorted(set(self.inbox) - set(absent)):
            try:
                sent[name] = self.speak(name, vectors)
                link = Link(name, SERVER, self._round)
                self.server.receive(self._channel.transfer(sent[name], link), name)
            except SecureAggregationError as error:
                self.refused.append(Rejection(name, str(error)))
            except UndeliveredError as error:
                self.refused.append(Rejection(name, str(error), faulty=False))
        self.inbox = {}
        for name, payload in self.server.close().items():
            try:
                link = Link(SERVER, name, self._round)
                self.inbox[name] = self._channel.transfer(payload, link)
            except UndeliveredError as error:
                self.refused.append(Rejection(name, str(error), faulty=False))
        return sent

    def speak(self, name: str, vectors: Mapping[str, Array]) -> bytes:
        """Returns a client's message of this stage.

        Raises:
            SecureAggregationError: The client cannot go on.
        """
        client, message = self.clients[name], self.inbox[name]
        match self.server.stage:
            case "advert":
                return client.advertise()
            case "shares":
                return client.share(message)
            case "masked":
                if name not in vectors:
                    raise SecureAggregationError("it has no vector", name)
                return client.mask(message, vectors[name])
            case "confirm":
                return client.confirm(message)
        return client.reveal(message)
