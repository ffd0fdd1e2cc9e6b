"""Kinds of pictures, as engines that tell them name them."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["KINDS", "Kind"]

Kind = Literal["photo", "drawing", "product", "poster", "document", "screenshot"]
"""A photo; a logo, icons or an illustration; a thing before a studio's ground; letters and pictures that were put together to
be read (adverts too); a page (certificates, licences, receipts), scanned or photographed; what was on a screen."""
KINDS: tuple[Kind, ...] = get_args(Kind)
