"""Files that nobody sends by accident, made by code."""
