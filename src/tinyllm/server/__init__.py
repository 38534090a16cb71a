"""The network over HTTP, for any client that speaks to OpenAI or to Ollama.

`build_app` is the way in. Knows nothing about settings, and builds none of what it serves.
"""

from tinyllm.server.access import LOOPBACK, Access, is_loopback
from tinyllm.server.app import build_app
from tinyllm.server.keys import Keyring
from tinyllm.server.peers import Peers, retire
from tinyllm.server.service import Limits, Service, Watchers

__all__ = [
    "LOOPBACK",
    "Access",
    "Keyring",
    "Limits",
    "Peers",
    "Service",
    "Watchers",
    "build_app",
    "is_loopback",
    "retire",
]
