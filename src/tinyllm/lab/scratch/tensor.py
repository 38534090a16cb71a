"""Reverse-mode differentiation over NumPy arrays: the scalar engine's idea, a whole array at a time.

An operation keeps a function that turns the gradient of its result into the gradients of its inputs; where
NumPy stretched an input (broadcasting), its gradient is summed over the stretched axes. Knows no networks.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Back = Callable[[Array], tuple[Array, ...]]


class Tensor:
    """An array that knows how it came about. `grad` is None until `backward` has reached it."""

    __array_priority__ = 1  # array * tensor comes here, not to NumPy

    def __init__(self, data: ArrayLike, inputs: tuple["Tensor", ...] = (), back: Back | None = None):
        self.data: Array = np.asarray(data, dtype=np.float64)
        self.grad: Array | None = None
        self._inputs, self._back = inputs, back

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def __add__(self, other: Any) -> "Tensor":
        other = _tensor(other)
        return Tensor(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other: Any) -> "Tensor":
        other = _tensor(other)
        return Tensor(self.data * other.data, (self, other), lambda g: (g * other.data, g * self.data))

    def __pow__(self, power: float) -> "Tensor":
        return Tensor(self.data**power, (self,), lambda g: (g * power * self.data ** (power - 1),))

    def __matmul__(self, other: "Tensor") -> "Tensor":
        """(..., n, k) @ (..., k, m) to (..., n, m)."""

        def back(g: Array) -> tuple[Array, Array]:
            return g @ other.data.swapaxes(-1, -2), self.data.swapaxes(-1, -2) @ g

        return Tensor(self.data @ other.data, (self, other), back)

    def exp(self) -> "Tensor":
        result = np.exp(self.data)
        return Tensor(result, (self,), lambda g: (g * result,))

    def log(self) -> "Tensor":
        return Tensor(np.log(self.data), (self,), lambda g: (g / self.data,))

    def tanh(self) -> "Tensor":
        result = np.tanh(self.data)
        return Tensor(result, (self,), lambda g: (g * (1 - result**2),))

    def sigmoid(self) -> "Tensor":
        return (self * 0.5).tanh() * 0.5 + 0.5  # never overflows

    def relu(self) -> "Tensor":
        return Tensor(np.maximum(self.data, 0), (self,), lambda g: (g * (self.data > 0),))

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Tensor":
        def back(g: Array) -> tuple[Array]:
            if axis is not None and not keepdims:
                g = np.expand_dims(g, axis)
            return (np.broadcast_to(g, self.shape),)

        return Tensor(self.data.sum(axis=axis, keepdims=keepdims), (self,), back)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Tensor":
        total = self.sum(axis, keepdims)
        return total * (total.data.size / self.data.size)

    def reshape(self, *shape: int) -> "Tensor":
        return Tensor(self.data.reshape(shape), (self,), lambda g: (g.reshape(self.shape),))

    def transpose(self, *axes: int) -> "Tensor":
        return Tensor(self.data.transpose(axes), (self,), lambda g: (g.transpose(np.argsort(axes)),))

    def __getitem__(self, index: Any) -> "Tensor":
        """Any NumPy index, whole-number arrays included; what is picked twice gets both gradients."""

        def back(g: Array) -> tuple[Array]:
            whole = np.zeros_like(self.data)
            np.add.at(whole, index, g)
            return (whole,)

        return Tensor(self.data[index], (self,), back)

    def log_softmax(self) -> "Tensor":
        """Logarithms of probabilities over the last axis; large numbers are safe."""
        shifted = self.data - self.data.max(axis=-1, keepdims=True)
        result = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return Tensor(result, (self,), lambda g: (g - np.exp(result) * g.sum(axis=-1, keepdims=True),))

    def softmax(self) -> "Tensor":
        return self.log_softmax().exp()

    def cross_entropy(self, wanted: NDArray[np.int64]) -> "Tensor":
        """The mean loss in nats of logits (N, classes) against the classes `wanted` (N,)."""
        return -self.log_softmax()[np.arange(len(wanted)), wanted].mean()

    def __neg__(self) -> "Tensor":
        return self * -1.0

    def __sub__(self, other: Any) -> "Tensor":
        return self + -_tensor(other)

    def __rsub__(self, other: Any) -> "Tensor":
        return _tensor(other) - self

    def __truediv__(self, other: Any) -> "Tensor":
        return self * _tensor(other) ** -1.0

    __radd__, __rmul__ = __add__, __mul__

    def backward(self) -> None:
        """Set the `grad` of everything that this one number came from: its derivative by each entry.

        Gradients from an earlier call are replaced, not added to.
        """
        order: list[Tensor] = []
        seen: set[int] = set()
        stack = [(self, False)]
        while stack:
            tensor, done = stack.pop()
            if done:
                order.append(tensor)
            elif id(tensor) not in seen:
                seen.add(id(tensor))
                tensor.grad = None
                stack.append((tensor, True))
                stack.extend((below, False) for below in tensor._inputs)
        self.grad = np.ones_like(self.data)
        for tensor in reversed(order):
            if tensor._back is None or tensor.grad is None:
                continue
            for below, gradient in zip(tensor._inputs, tensor._back(tensor.grad), strict=True):
                summed = _unstretch(gradient, below.shape)
                below.grad = summed if below.grad is None else below.grad + summed


class Adam:
    """Adam (Kingma & Ba 2014) over a list of tensors; `state` is all that it remembers."""

    def __init__(self, weights: Iterable[Tensor], rate: float, beta1: float = 0.9, beta2: float = 0.99):
        self.weights, self.rate, self.betas = list(weights), rate, (beta1, beta2)
        self.state = [np.zeros((2, *weight.shape)) for weight in self.weights]
        self.steps = 0

    def step(self, share: float = 1.0) -> None:
        """Move every weight against its gradient, at `share` of the learning rate."""
        self.steps += 1
        one, two = self.betas
        for weight, state in zip(self.weights, self.state, strict=True):
            assert weight.grad is not None
            state[0] += (1 - one) * (weight.grad - state[0])
            state[1] += (1 - two) * (weight.grad**2 - state[1])
            mean, square = state[0] / (1 - one**self.steps), state[1] / (1 - two**self.steps)
            weight.data = weight.data - share * self.rate * mean / (np.sqrt(square) + 1e-8)


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value)


def _unstretch(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an array of `shape` that broadcasting stretched to the gradient's shape."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    ones = tuple(axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[axis] != 1)
    return gradient.sum(axis=ones, keepdims=True) if ones else gradient
