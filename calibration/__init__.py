"""Calibration: rules that turn a raw quality score into a category, with every step on record.

Pure functions on numbers and small arrays: no network, no files but profiles, no clock.
"""
