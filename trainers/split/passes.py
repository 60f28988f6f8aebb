"""One batch's way through a cut network: forward over the channel, and its gradients back.

No graph crosses the cut. What arrives is a new leaf, made of the bytes that came; what goes back is
the leaf's gradient. So each part could live in another process, and the parameters' gradients are
those of the whole network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, final

import numpy as np

from qmarl.federated.privacy_noise import NoiseSource
from qmarl.federated.split import OPEN, Cut, Flow, Guard
from qmarl.types import Array

if TYPE_CHECKING:
    import torch

    Part = Callable[[torch.Tensor], torch.Tensor]


@final
class SplitPass:
    """One batch from clients to the server and home.

    Args:
        cuts: Each client's border with the server.
        batch: Number of the batch, which no other of this round has.
        guard: What clients do to activations before they send them.
        source: Where their noise comes from.
    """

    def __init__(
        self,
        cuts: Sequence[Cut],
        batch: int,
        guard: Guard = OPEN,
        source: NoiseSource | None = None,
    ) -> None:
        self._cuts, self._batch, self._guard = cuts, batch, guard
        self._source = source or NoiseSource.secret()

    def forward(self, activations: torch.Tensor, body: Part, places: Array) -> torch.Tensor:
        """Sends activations up, runs the server's part, and sends its outputs home.

        Args:
            activations: ``(A, B, k)`` of ``A`` clients, with their graph.
            body: The server's part, from ``(A, B, k)`` to ``(B, width)``.
            places: ``(B,)`` the client that each row of the outputs goes to.

        Returns:
            Outputs ``(B, width)`` as they came home, a leaf: call ``backward`` on what is made of
            it, then :meth:`backward` here.

        Raises:
            RunError: A message did not come across as it must.
        """
        import torch

        learning = torch.is_grad_enabled()
        self._activations, self._places = activations, places
        self._known = np.ascontiguousarray(activations.detach().numpy())
        sent = [self._protected(place) for place in range(len(self._cuts))]
        self._joined = torch.from_numpy(self._all("activations", sent)).requires_grad_(learning)
        self._outputs = body(self._joined)
        self._home = torch.from_numpy(self._dealt("outputs", self._outputs.detach().numpy()))
        return self._home.requires_grad_(learning)

    def backward(self) -> None:
        """Sends the outputs' gradients up and the activations' gradients home.

        Both sides' parameters then have their gradients.

        Raises:
            RunError: A message did not come across as it must.
        """
        import torch

        assert self._home.grad is not None
        upward = self._dealt("output_gradients", self._home.grad.numpy())
        self._outputs.backward(torch.from_numpy(upward))  # type: ignore[no-untyped-call]
        assert self._joined.grad is not None
        came = self._all("activation_gradients", list(self._joined.grad.numpy()))
        pulled = [self._guard.pull(*pair) for pair in zip(self._known, came, strict=True)]
        self._activations.backward(torch.from_numpy(np.stack(pulled)))  # type: ignore[no-untyped-call]

    def _protected(self, place: int) -> Array:
        cut = self._cuts[place]
        name = ("split", cut.group, cut.client, cut.round, self._batch)
        return self._guard.protect(self._known[place], self._source, *name)

    def _all(self, flow: Flow, arrays: Sequence[Array]) -> Array:
        """Every client's ``(B, k)`` across its cut, ``(A, B, k)``."""
        shape = self._known.shape[1:]
        pairs = zip(self._cuts, arrays, strict=True)
        return np.stack([cut.carry(flow, self._batch, array, shape) for cut, array in pairs])

    def _dealt(self, flow: Flow, rows: Array) -> Array:
        """Every client's own rows of ``(B, width)`` across its cut."""
        arrived = np.empty_like(rows)
        for place, cut in enumerate(self._cuts):
            own = self._places == place
            shape = (int(own.sum()), rows.shape[1])
            arrived[own] = cut.carry(flow, self._batch, rows[own], shape)
        return arrived


def split_forward(
    head: Part, body: Part, tail: Part, inputs: torch.Tensor, crossing: tuple[Cut, int]
) -> tuple[torch.Tensor, SplitPass]:
    """Runs one client's U-shaped network: head and tail at the client, body at the server.

    Args:
        head: Activations ``(B, k)`` of ``inputs``, at the client.
        body: Outputs ``(B, width)`` of the activations, at the server.
        tail: What the client makes of the outputs; its labels never leave it.
        inputs: ``(B, ...)``.
        crossing: The client's cut, and the number of the batch.

    Returns:
        What the tail gives, to call ``backward`` on some loss of, and the pass, to call
        :meth:`SplitPass.backward` on after it.
    """
    cut, batch = crossing
    under_way = SplitPass([cut], batch)
    places = np.zeros(len(inputs), np.int64)
    outputs = under_way.forward(head(inputs)[None], _single(body), places)
    return tail(outputs), under_way


def _single(body: Part) -> Part:
    return lambda joined: body(joined[0])
