"""The command line: thin commands, one family a module. `main` is the way in, `wiring` builds the objects."""
