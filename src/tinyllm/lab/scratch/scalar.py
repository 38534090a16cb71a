"""Reverse-mode differentiation, one number at a time (after Karpathy's micrograd).

Every operation remembers its inputs and the derivative with respect to each; `backward` walks from the result
to the inputs and applies the chain rule.
"""

import math


class Value:
    """A number that knows how it came about. `grad` is the derivative of the last `backward`'s result by it."""

    __slots__ = ("data", "grad", "inputs", "slopes")

    def __init__(self, data: float, inputs: tuple["Value", ...] = (), slopes: tuple[float, ...] = ()):
        self.data, self.grad = data, 0.0
        self.inputs, self.slopes = inputs, slopes  # the slope by each input

    def __add__(self, other: "Value | float") -> "Value":
        other = _value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: "Value | float") -> "Value":
        other = _value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, power: float) -> "Value":
        return Value(self.data**power, (self,), (power * self.data ** (power - 1),))

    def exp(self) -> "Value":
        result = math.exp(self.data)
        return Value(result, (self,), (result,))

    def log(self) -> "Value":
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def tanh(self) -> "Value":
        result = math.tanh(self.data)
        return Value(result, (self,), (1 - result * result,))

    def relu(self) -> "Value":
        return Value(max(self.data, 0.0), (self,), (float(self.data > 0),))

    def __neg__(self) -> "Value":
        return self * -1.0

    def __sub__(self, other: "Value | float") -> "Value":
        return self + -_value(other)

    def __truediv__(self, other: "Value | float") -> "Value":
        return self * _value(other) ** -1.0

    def __rsub__(self, other: float) -> "Value":
        return _value(other) - self

    def __rtruediv__(self, other: float) -> "Value":
        return _value(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def backward(self) -> None:
        """Add to the `grad` of everything that this value came from the derivative of this value by it."""
        order: list[Value] = []
        seen: set[Value] = set()
        stack = [(self, False)]
        while stack:  # not recursive: a language model is deeper than Python's stack
            value, done = stack.pop()
            if done:
                order.append(value)
            elif value not in seen:
                seen.add(value)
                stack.append((value, True))
                stack.extend((below, False) for below in value.inputs)
        self.grad += 1.0
        for value in reversed(order):
            for below, slope in zip(value.inputs, value.slopes, strict=True):
                below.grad += slope * value.grad


def _value(number: Value | float) -> Value:
    return number if isinstance(number, Value) else Value(float(number))
