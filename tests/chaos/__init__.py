"""Breaks things on purpose and counts what is lost: ``make chaos``."""
