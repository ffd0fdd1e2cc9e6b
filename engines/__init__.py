"""Engines: compiled networks with their manifests, and the runtimes they run on.

``torch`` is imported only below ``engines.models``, ``engines.training`` and in ``engines.export``.
"""
