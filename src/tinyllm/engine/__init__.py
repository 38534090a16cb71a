"""The engine: turns a graph and its implementations into answers.

It knows nothing about learning, servers or the command line; it is given `resolve(request) -> graph`.
"""

from tinyllm.engine.request import request_of
from tinyllm.engine.run import Engine
from tinyllm.engine.trace import fold

__all__ = ["Engine", "fold", "request_of"]
