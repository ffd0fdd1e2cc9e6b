"""Fuzzers, on demand: ``make fuzz TARGET=event SECONDS=60``."""
