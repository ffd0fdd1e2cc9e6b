"""Judges events of the last days once more: in a group of its own, so that new uploads never wait for it."""
