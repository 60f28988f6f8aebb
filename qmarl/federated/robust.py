"""Rules that bear with Byzantine clients, on a matrix of updates: exact differences in float64.

Every function takes ``x``, ``(n, d)`` float64 with one client's flat delta in a row. At most ``f``
rows may be anything at all. Rows weigh the same: nobody is believed about his number of examples.
"""

from __future__ import annotations

import numpy as np

from qmarl.types import Array

_TOLERANCE = 1e-10
_MOST_STEPS = 2000


def square_distances(x: Array) -> Array:
    """Squared distances ``(n, n)`` of all pairs.

    Differences are taken before they are squared. The shorter Gram form subtracts large numbers
    from each other, and drowns small updates of large parameters.
    """
    from scipy.spatial.distance import pdist, squareform  # type: ignore[import-untyped] # no stubs

    apart: Array = squareform(pdist(x, "sqeuclidean"))
    return apart


def trimmed_mean(x: Array, trimmed: int) -> Array:
    """Mean of each coordinate without its smallest and largest values (Yin et al. 2018).

    Args:
        x: ``(n, d)`` with ``n > 2 * trimmed``.
        trimmed: Values left out at either end.
    """
    ordered = np.sort(x, 0)
    kept: Array = ordered[trimmed : len(x) - trimmed].mean(0)
    return kept


def geometric_median(x: Array) -> Array:
    """The point with the smallest sum of distances to all rows, to 1e-10 of their spread.

    Weiszfeld's iteration in the form of Vardi and Zhang (2000), which does not stop at a row that
    it happens to meet.
    """
    point: Array = np.median(x, 0)
    spread = float(np.sqrt(square_distances(x).max())) or 1.0
    for _ in range(_MOST_STEPS):
        after = _weiszfeld(x, point, spread)
        moved = float(np.linalg.norm(after - point))
        point = after
        if moved <= _TOLERANCE * spread:
            break
    return point


def _weiszfeld(x: Array, point: Array, spread: float) -> Array:
    way = x - point
    distance = np.sqrt(np.einsum("ij,ij->i", way, way))
    away = distance > 1e-14 * spread
    if not away.any():
        return point
    weight = 1 / distance[away]
    pull = weight @ way[away]
    strength = float(np.linalg.norm(pull))
    here = int((~away).sum())
    if strength <= here:
        return point  # the rows that lie here hold it against the pull of all others
    moved: Array = point + (1 - here / strength) * pull / weight.sum()
    return moved


def krum_scores(distances: Array, f: int) -> Array:
    """Sum of each row's squared distances to its ``n - f - 2`` nearest others (Blanchard 2017).

    Args:
        distances: ``(n, n)`` squared distances.
        f: Byzantine rows to bear with.
    """
    others = distances + np.diag(np.full(len(distances), np.inf))
    nearest: Array = np.sort(others, 1)[:, : max(1, len(distances) - f - 2)]
    scores: Array = nearest.sum(1)
    return scores


def multikrum(x: Array, f: int, keep: int) -> Array:
    """Mean of the ``keep`` rows with the lowest Krum score; Krum itself where ``keep`` is 1."""
    best = np.argsort(krum_scores(square_distances(x), f), kind="stable")[:keep]
    chosen: Array = x[np.sort(best)].mean(0)
    return chosen


def bulyan(x: Array, f: int) -> Array:
    """Krum's choice of rows, then a mean around their median (El Mhamdi et al. 2018).

    Krum chooses ``n - 2 f`` rows one by one; of each coordinate of theirs, the ``n - 4 f`` values
    nearest to the median are averaged.

    Args:
        x: ``(n, d)`` with ``n >= 4 * f + 3``.
        f: Byzantine rows to bear with.
    """
    left, chosen, distances = list(range(len(x))), [], square_distances(x)
    for _ in range(len(x) - 2 * f):
        scores = krum_scores(distances[np.ix_(left, left)], f)
        chosen.append(left.pop(int(scores.argmin())))
    selected = x[sorted(chosen)]
    apart = np.abs(selected - np.median(selected, 0))
    nearest = np.argsort(apart, 0, kind="stable")[: len(selected) - 2 * f]
    kept: Array = np.take_along_axis(selected, np.sort(nearest, 0), 0).mean(0)
    return kept


def centred_clipping(x: Array, centre: Array, radius: float | None, steps: int) -> Array:
    """Moves ``centre`` by the mean of the clipped ways to all rows (Karimireddy et al. 2021).

    Args:
        x: ``(n, d)``.
        centre: ``(d,)`` where to start: the last round's result.
        radius: Length that a way is clipped to; the median of the lengths where it is None.
        steps: How often to move.
    """
    for _ in range(steps):
        way = x - centre
        length = np.sqrt(np.einsum("ij,ij->i", way, way))
        most = float(np.median(length)) if radius is None else radius
        share = np.divide(most, length, out=np.ones_like(length), where=length > most)
        centre = centre + (share[:, None] * way).mean(0)
    return centre


def mixed(x: Array, f: int) -> Array:
    """Each row becomes the mean of its ``n - f`` nearest rows, itself included (Allouche 2023).

    Nearest-neighbour mixing makes any of the rules above nearly optimal under heterogeneity.
    """
    nearest = np.argsort(square_distances(x), 1, kind="stable")[:, : len(x) - f]
    return np.stack([x[np.sort(row)].mean(0) for row in nearest])
