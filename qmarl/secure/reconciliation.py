"""Makes two keys equal: by Cascade's questions and answers, or by one message of LDPC parities."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np

from qmarl.secure.cascade import Answering, correct
from qmarl.secure.ldpc import decode, make_code
from qmarl.secure.protocols import Reconciliation
from qmarl.secure.randomness import Randomness, permutation
from qmarl.secure.rates import binary_entropy
from qmarl.types import Array

_BLOCK = 100_000  # bits corrected together
_FIRST, _MORE = 1.12, 0.03  # disclosed bits over n h(e): at first, and in each further message
_TRIES = 30


@dataclass(frozen=True)
class Corrected:
    """What came of a correction; whether the keys are equal now is not yet known.

    Attributes:
        key: ``(n,)`` bits of the second end.
        disclosed: Bits that were said in public about the first end's key.
        said: What the first end said.
    """

    key: Array = field(repr=False)
    disclosed: int
    said: list[bytes] = field(repr=False)


def reconcile(
    right: Array, wrong: Array, error: float, how: Reconciliation, public: Randomness
) -> Corrected:
    """Corrects the second end's key.

    Args:
        right: ``(n,)`` bits of the first end.
        wrong: ``(n,)`` bits of the second end.
        error: Expected share of wrong bits.
        how: By which method.
        public: Randomness for permutations and codes, which may be known to all.
    """
    if how == "cascade":
        answering = Answering(right)
        key = correct(wrong, error, answering, partial(permutation, public))
        return Corrected(key, answering.disclosed, answering.said)
    seed = int.from_bytes(public.octets(16), "little")
    rng = np.random.Generator(np.random.Philox(seed))
    edges = np.linspace(0, len(right), 1 + -(-len(right) // _BLOCK)).astype(int)
    spans = [slice(a, b) for a, b in pairwise(edges)]
    parts = [_by_message(right[span], wrong[span], error, rng) for span in spans]
    key = np.concatenate([part.key for part in parts])
    return Corrected(
        key, sum(part.disclosed for part in parts), [said for part in parts for said in part.said]
    )


def _by_message(right: Array, wrong: Array, error: float, rng: np.random.Generator) -> Corrected:
    """Sends parities; while they are too few, also the bits of which the other end is least sure.

    This is blind reconciliation (Martinez-Mateo, Elkouss and Martin 2012, arXiv:1205.5729) by bits
    said outright.
    """
    count = len(right)
    error = min(0.49, max(error, 2 / count))
    least = count * float(binary_entropy(error))
    spread = math.sqrt(count * error * (1 - error)) * math.log2((1 - error) / error)
    checks, more = max(20, int(_FIRST * least + spread / 3)), max(16, int(_MORE * least))
    if checks >= 0.9 * count:  # so noisy that saying the key is all that is left
        return Corrected(right.copy(), count, [np.packbits(right).tobytes()])
    code = make_code(count, checks, rng)
    syndrome = code.syndrome(right)
    evidence = np.log((1 - error) / error) * (1 - 2.0 * wrong)
    said, disclosed = [np.packbits(syndrome).tobytes()], checks
    for _ in range(_TRIES):
        found = decode(code, syndrome, evidence, iterations=60)
        if found.settled:
            return Corrected(found.word, disclosed, said)
        asked = np.argsort(np.abs(found.belief), kind="stable")[:more]
        evidence[asked] = 1e3 * (1 - 2.0 * right[asked])
        said.append(np.packbits(right[asked]).tobytes())
        disclosed += more
    return Corrected(wrong, disclosed, said)
