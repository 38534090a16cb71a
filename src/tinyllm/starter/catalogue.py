"""Operations that learning may use beyond those that the shipped readers know: formulas over the same tools.

No pattern here or elsewhere says how people ask for them: that is learned from graded traffic alone.
"""

from collections.abc import Mapping

from tinyllm.slots import Op
from tinyllm.starter.calls import OPS

_FORMULAS: Mapping[str, tuple[int, str]] = {
    "choose": (2, "factorial({0}) / (factorial({1}) * factorial({0} - {1}))"),
    "permute": (2, "factorial({0}) / factorial({0} - {1})"),
    "triangle_area": (2, "{0} * {1} / 2"),
    "hypotenuse": (2, "sqrt({0}^2 + {1}^2)"),
    "sphere_volume": (1, "4 / 3 * pi * {0}^3"),
    "cylinder_volume": (2, "pi * {0}^2 * {1}"),
    "box_volume": (3, "{0} * {1} * {2}"),
    "sum_of_three": (3, "{0} + {1} + {2}"),
    "sum_up_to": (1, "{0} * ({0} + 1) / 2"),
    "round_to": (2, "round({0} / {1}) * {1}"),
    "body_mass_index": (2, "{0} / {1}^2"),
    "simple_interest": (3, "{0} * {1} / 100 * {2}"),
    "to_fahrenheit": (1, "{0} * 9 / 5 + 32"),
    "to_celsius": (1, "({0} - 32) * 5 / 9"),
    "sine": (1, "sin({0})"),
    "cosine": (1, "cos({0})"),
    "exponential": (1, "exp({0})"),
    "binary_logarithm": (1, "log2({0})"),
    "from_octal": (1, "from_octal({0})"),
}
_SYMMETRIC = frozenset({"triangle_area", "hypotenuse", "box_volume", "sum_of_three"})

CATALOGUE: Mapping[str, Op] = {
    **OPS,
    **{
        name: Op(
            name,
            ("n",) * count,
            "calculator",
            {"expression": expression},
            whole="n",
            symmetric=name in _SYMMETRIC,
        )
        for name, (count, expression) in _FORMULAS.items()
    },
    "population_stdev": Op(
        "population_stdev", ("l",), "statistics", {"operation": "population_stdev", "values": ["{0}"]}
    ),
}
