"""Plain data: what JSON can say of numbers."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> Any:
    """Returns plain data with ``None`` for numbers that JSON cannot say.

    >>> finite({"time_to_goal": {"mean": float("nan")}, "success": 0.5})
    {'time_to_goal': {'mean': None}, 'success': 0.5}
    """
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
