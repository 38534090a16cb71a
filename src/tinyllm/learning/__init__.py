"""Learning: how a network changes itself, and only where the change is proven. The engine runs without it."""
