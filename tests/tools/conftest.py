"""Property tests without a deadline: a busy machine is no fault."""

from hypothesis import settings

settings.register_profile("tools", deadline=None, max_examples=40)
settings.load_profile("tools")
