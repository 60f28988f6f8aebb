"""Watches torch while a quantum function builds its gates, and keeps symbols beside the numbers.

Imported only while compiling (it needs torch). Every torch operation on a traced tensor is repeated
on an object array of symbols; what cannot be repeated (a comparison, a number taken out of a
tensor) means that the circuit's structure depends on its data, and ends the recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from qmarl.circuits.symbols import Input, Symbol, Weight, constants, symbols
from qmarl.types import Array

FUNCTIONS = {
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "abs": "absolute",
    "floor": "floor",
    "reciprocal": "reciprocal",
}
"""Elementwise functions: their name in torch and in NumPy."""


SHAPE_ONLY = frozenset(
    {"ones_like", "zeros_like", "full_like", "new_zeros", "new_ones", "new_full"}
)
"""Operations whose result does not depend on the values of what they are given."""


DECISIONS = frozenset(
    {"_local_scalar_dense", "is_nonzero", "gt", "ge", "lt", "le", "eq", "ne", "where", "argmax"}
)
"""Operations that take a number out of a tensor, or ask about it: what follows may depend on it."""


class CompileError(Exception):
    """A quantum function that cannot become a program; the text says why."""


@final
class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch has no types here
    """Traces the tensors that come from inputs and weights."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # nor here
        self._traced: dict[int, tuple[torch.Tensor, Array]] = {}
        self._opaque: dict[int, Any] = {}

    def track(self, tensor: torch.Tensor, kind: type[Input | Weight], start: int = 0) -> None:
        """Gives the entries of ``tensor`` fresh symbols from index ``start`` on."""
        shape = tuple(tensor.shape)
        self._traced[id(tensor)] = (tensor, symbols(tensor.numel(), shape, start, kind))

    def symbol(self, value: object) -> Symbol:
        """The symbol of a gate's angle: traced, or a constant.

        Raises:
            CompileError: It is made of complex numbers.
        """
        if id(value) in self._opaque:
            raise CompileError("an angle is made of complex numbers")
        if isinstance(value, torch.Tensor):
            return self._symbols(value).reshape(-1)[0]  # type: ignore[no-any-return]
        return Symbol.constant(float(np.asarray(value).reshape(-1)[0]))

    def entries(self, value: object) -> list[Symbol] | None:
        """Symbols of a vector; none where it is constant, None where complex numbers made it."""
        if id(value) in self._opaque:
            return None
        return self._traced[id(value)][1].reshape(-1).tolist() if id(value) in self._traced else []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs one operation, on numbers and on symbols."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name not in SHAPE_ONLY and (self._is_traced(args) or self._is_opaque(args)):
            if self._is_opaque(args) or (isinstance(result, torch.Tensor) and result.is_complex()):
                self._opaque[id(result)] = (
                    result  # a phase of the whole state, or verification fails
                )
                return result
            if name in DECISIONS:
                raise CompileError(f"its structure depends on inputs or weights (torch.{name})")
            if name not in OPERATIONS:
                raise CompileError(f"torch.{name} of inputs or weights cannot be recorded")
            self._keep(result, OPERATIONS[name](*(self._lift(arg) for arg in args), **kwargs))
        return result

    def _is_traced(self, args: Sequence[Any]) -> bool:
        return _any_of(args, self._traced)

    def _is_opaque(self, args: Sequence[Any]) -> bool:
        return _any_of(args, self._opaque)

    def _symbols(self, tensor: torch.Tensor) -> Array:
        if id(tensor) in self._traced:
            return self._traced[id(tensor)][1]
        return constants(tensor.detach().numpy())

    def _lift(self, arg: Any) -> Any:
        if isinstance(arg, torch.Tensor):
            whole = arg.dtype in (torch.int64, torch.bool) and id(arg) not in self._traced
            return arg.numpy() if whole else self._symbols(arg)
        if isinstance(arg, (list, tuple)):
            return [self._lift(part) for part in arg]
        return arg

    def _keep(self, result: Any, recorded: Any) -> None:
        if isinstance(result, torch.Tensor):
            self._traced[id(result)] = (result, np.asarray(recorded, object))
            return
        for tensor, part in zip(result, recorded, strict=True):
            self._keep(tensor, part)


def _any_of(args: Sequence[Any], known: Mapping[int, Any]) -> bool:
    """Whether one of the arguments, or of their parts, is known by its identity."""
    return any(
        _any_of(arg, known) if isinstance(arg, (list, tuple)) else id(arg) in known for arg in args
    )


def _number(value: Any) -> Any:
    return Symbol.constant(value) if isinstance(value, (int, float)) else value


def _binary(operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def apply(left: Any, right: Any, *, alpha: float = 1) -> Any:
        if alpha != 1:
            right = _number(alpha) * right
        return operation(_number(left), _number(right))

    return apply


def _unary(function: str) -> Callable[..., Any]:
    return np.vectorize(lambda symbol: symbol.apply(function), otypes=[object])


def _remainder(left: Any, right: Any) -> Any:
    """``left mod right``, as PennyLane's inverses of some gates turn angles."""
    left, right = _number(left), _number(right)
    return left - _unary("floor")(left / right) * right


def _norm(array: Array, order: float = 2, *_: Any) -> Any:
    """The Euclidean norm of a vector, as of amplitudes before they are normalised."""
    if order != 2 or array.ndim != 1:
        raise CompileError("only Euclidean norms of vectors can be recorded")
    return Symbol.total(entry * entry for entry in array).apply("sqrt")


def _select(array: Array, axis: int, index: int) -> Any:
    return array.take(index, axis)


def _slice(
    array: Array, axis: int = 0, start: int | None = None, stop: int | None = None, step: int = 1
) -> Any:
    place = [slice(None)] * array.ndim
    place[axis] = slice(start, stop, step)
    return array[tuple(place)]


def _view(array: Array, shape: Sequence[int], **_: Any) -> Any:
    return array.reshape(shape)


def _expand(array: Array, shape: Sequence[int], **_: Any) -> Any:
    lead = len(shape) - array.ndim
    full = [array.shape[k - lead] if size == -1 else size for k, size in enumerate(shape)]
    return np.broadcast_to(array, full)


def _squeeze(array: Array, axis: int | Sequence[int] | None = None) -> Any:
    if axis is None:
        return array.squeeze()
    axes = [axis] if isinstance(axis, int) else axis
    return array.squeeze(tuple(k for k in axes if array.shape[k] == 1))


def _split(array: Array, size: int | Sequence[int], axis: int = 0) -> Any:
    if isinstance(size, int):
        size = [size] * -(-array.shape[axis] // size)
    return np.split(array, np.cumsum(size)[:-1], axis)


def _unbind(array: Array, axis: int = 0) -> Any:
    return list(np.moveaxis(array, axis, 0))


def _index(array: Array, places: Sequence[Array | None]) -> Any:
    return array[tuple(slice(None) if place is None else place for place in places)]


def _sum(array: Array, axis: Sequence[int] | None = None, keepdim: bool = False, **_: Any) -> Any:
    axes = tuple(axis) if axis else None
    return array.sum(axis=axes, keepdims=keepdim)


def _same(array: Array, *_: Any, **__: Any) -> Any:
    return array


def _transpose(array: Array, first: int, second: int) -> Any:
    return array.swapaxes(first, second)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": _binary(lambda a, b: a + b),
    "sub": _binary(lambda a, b: a - b),
    "rsub": _binary(lambda a, b: b - a),
    "mul": _binary(lambda a, b: a * b),
    "div": _binary(lambda a, b: a / b),
    "remainder": _remainder,
    "pow": _binary(lambda a, b: a**b),
    "neg": lambda a: -a,
    "square": lambda a: a * a,
    "select": _select,
    "slice": _slice,
    "view": _view,
    "_unsafe_view": _view,
    "reshape": _view,
    "_reshape_alias": _view,
    "expand": _expand,
    "unsqueeze": np.expand_dims,
    "squeeze": _squeeze,
    "permute": np.transpose,
    "transpose": _transpose,
    "t": np.transpose,
    "stack": np.stack,
    "cat": np.concatenate,
    "split": _split,
    "split_with_sizes": _split,
    "unbind": _unbind,
    "index": _index,
    "sum": _sum,
    "linalg_vector_norm": _norm,
    "mv": np.matmul,
    "mm": np.matmul,
    "dot": np.matmul,
    "clone": _same,
    "detach": _same,
    "alias": _same,
    "lift_fresh": _same,
    "_to_copy": _same,
    **{torch_name: _unary(name) for torch_name, name in FUNCTIONS.items()},
}
"""What each torch operation does to object arrays of symbols."""
