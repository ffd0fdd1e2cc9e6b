"""Judging again."""
