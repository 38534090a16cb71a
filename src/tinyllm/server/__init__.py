"""The network over HTTP, for any client that speaks to OpenAI or to Ollama.

`build_app` is the way in. Knows nothing about settings, and builds none of what it serves.
"""

from tinyllm.server.access import Access
from tinyllm.server.app import build_app
from tinyllm.server.service import Limits, Service

__all__ = ["Access", "Limits", "Service", "build_app"]
