"""Standing experiments: each one command, one report that others may rely on, deterministic by seed."""
