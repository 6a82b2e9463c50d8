"""Runs every process of a site on one machine, under one supervisor. `make demo` starts it."""
