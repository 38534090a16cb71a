"""The shipped networks, their request patterns, and the recipe that rebuilds their neurons."""
