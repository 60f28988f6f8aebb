"""What the content of an update must be before any strategy sees it."""

from __future__ import annotations

import numpy as np

from qmarl.federated.compression import Codec
from qmarl.federated.fisher import PREFIX
from qmarl.federated.memory import under
from qmarl.federated.messages import MessageError
from qmarl.types import Envelope, Layout, Params


def content(
    envelope: Envelope, layout: Layout, codec: Codec, informed: bool
) -> tuple[Params, Params]:
    """Returns an update's deltas and its Fisher information, unpacked and checked.

    Args:
        envelope: The update; its header is somebody else's to judge.
        layout: Declaration of the shared parameters only.
        codec: How updates travel.
        informed: Whether information has to be there; otherwise it must not.

    Raises:
        MessageError: It is not what belongs in an update; the text says why.
    """
    arrays, information = envelope.arrays, Params()
    if informed:
        information = under(PREFIX, arrays)
        arrays = {name: array for name, array in arrays.items() if not name.startswith(PREFIX)}
        _check_information(information, layout)
    deltas = codec.read(arrays, envelope.client, envelope.round)
    _check(deltas, layout)
    if codec.plain:
        _check_periods(envelope, layout)
    return deltas, information


def _check(named: Params, layout: Layout) -> None:
    if set(named) != set(layout):
        raise MessageError(f"arrays {sorted(named)}, but {sorted(layout)} are shared")
    for name, spec in layout.items():
        array = named[name]
        if array.shape != spec.shape or array.dtype != np.float64:
            raise MessageError(f"{name!r} is {array.dtype} {array.shape}, not float64 {spec.shape}")
        if not np.isfinite(array).all():
            raise MessageError(f"{name!r} is not finite")


def _check_periods(envelope: Envelope, layout: Layout) -> None:
    for name, spec in layout.items():
        if envelope.periods[name] != spec.period:
            raise MessageError(f"{name!r} has period {envelope.periods[name]}, not {spec.period}")


def _check_information(information: Params, layout: Layout) -> None:
    try:
        _check(information, layout)
    except MessageError as error:
        raise MessageError(f"Fisher information: {error}") from error
    if any((array < 0).any() for array in information.values()):
        raise MessageError("Fisher information: a number is negative")
