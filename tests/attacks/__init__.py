"""Attacks on the package and its app that can be run: ``python tests/attacks/run.py``."""
