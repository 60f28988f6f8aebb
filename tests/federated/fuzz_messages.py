"""Fuzzes what the server reads, guided by coverage, with Atheris (which is no dependency).

In an environment of its own, from the project's directory:

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install -e . atheris==3.0.0
    /tmp/fuzz/bin/python tests/federated/fuzz_messages.py -runs=200000

`pytest -m fuzz tests/federated` does the same for 50,000 inputs wherever Atheris is installed. It
stops at the first input that raises anything but a refusal, or that is read otherwise the second
time, and keeps that input as a file `crash-...`.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qmarl.federated"]):
    from qmarl.federated import split
    from qmarl.federated.aggregators import FedAvg
    from qmarl.federated.client import Client
    from qmarl.federated.compression import Codec, Quantise, RandomMask, TopK
    from qmarl.federated.messages import MessageError, decode, encode, seal
    from qmarl.federated.server import Server

import numpy as np

from qmarl.types import Envelope, ParameterSpec

LAYOUT = {
    "a": ParameterSpec((2, 3), 6.25, "angles"),
    "b": ParameterSpec((4,), None, "readout"),
}
ZERO = {name: np.zeros(spec.shape) for name, spec in LAYOUT.items()}
CODECS = [Codec(LAYOUT, "g", how) for how in (None, Quantise(bits=4), TopK(), RandomMask())]
SLIP = split.Slip("activations", "g", "c", 1, 0, (2, 3), "float64")


def one_input(data: bytes) -> None:
    """Gives the same bytes to every reader: as they are, and under a checksum that fits."""
    if not data:
        return
    for payload in (data[1:], seal(data[1:])):
        reread(payload)
        receive(payload, CODECS[data[0] % len(CODECS)])
        with contextlib.suppress(MessageError):
            split.unpack(SLIP, payload)


def reread(payload: bytes) -> None:
    """What is read once reads the same again."""
    try:
        found = decode(payload, 2**16)
        again = decode(encode(found))
    except MessageError:
        return
    assert again.periods == found.periods
    for name, array in found.arrays.items():
        assert again.arrays[name].tobytes() == array.tobytes()


def receive(payload: bytes, codec: Codec) -> None:
    """A server refuses it with a reason, or moves by finite numbers."""
    server = Server(LAYOUT, ZERO, FedAvg(), ["c"], "g", codec=codec)
    rejection = server.receive(payload, 1, "c")
    report = server.aggregate(1)
    assert report.rejected == (() if rejection is None else (rejection,))
    assert rejection is None or rejection.reason
    assert all(np.isfinite(array).all() for array in server.params.values())


def corpus(folder: Path) -> None:
    """Writes good messages to begin with."""
    deltas = {name: array + 0.5 for name, array in ZERO.items()}
    for place, codec in enumerate(CODECS):
        arrays, _ = codec.write(deltas, {}, "c", 1)
        body = Client("c", "g", LAYOUT).send(1, arrays, 3, {"steps": 2.0})[19:]
        (folder / f"update_{place}").write_bytes(bytes([place]) + body)
    shown = Envelope("update", 1, "c", "g", {"activations": np.ones((2, 3))}, {"activations": None})
    (folder / "split").write_bytes(b"\0" + encode(shown)[19:])


def main() -> None:
    """Fuzzes until the runs are over; see ``-help=1`` for the options."""
    with tempfile.TemporaryDirectory() as folder:
        corpus(Path(folder))
        atheris.Setup([*sys.argv, "-max_len=2048", folder], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
