"""Hypothesis strategies for scores and signals."""

from __future__ import annotations

from hypothesis import strategies as st

from calibration.profile import KindLimits
from calibration.profile_file import load_profile, shipped_profiles
from calibration.signals import Background, Kind, Signals

PROFILE = load_profile("recruitment")
TOLD = PROFILE.model_copy(update={"kind": KindLimits(enabled=True, probability=0.5, soft=0.1, ruined=0.6, photo=0.9)})
"""The same, with what kinds of pictures are worth."""

scores = st.integers(0, 10_000).map(lambda n: n / 100)
shares = st.floats(0, 1).map(lambda x: round(x, 4))
backgrounds = st.builds(
    Background,
    share=shares,
    border_share=shares,
    roughness=st.floats(0, 3),
    edge=st.floats(0, 60),
    palette=shares,
    flat=shares,
)
kinds = st.builds(Kind, name=st.sampled_from(["photo", "drawing", "poster"]), probability=shares, photo=shares, ruined=shares)
sides = st.one_of(st.integers(1, 400), st.integers(200, 300), st.integers(400, 5000))
words = st.lists(st.sampled_from(PROFILE.keywords.words), max_size=3, unique=True).map(tuple)
signals = st.builds(
    Signals,
    width=sides,
    height=sides,
    background=backgrounds,
    text_area=st.one_of(st.none(), shares),
    keywords=st.one_of(st.none(), words),
    kind=st.one_of(st.none(), kinds),
)
profiles = st.sampled_from(
    [
        *(load_profile(name) for name in shipped_profiles()),
        PROFILE.model_copy(update={"keywords": PROFILE.keywords.model_copy(update={"effect": "low"})}),
        TOLD,
        PROFILE.model_copy(update={"text_area": PROFILE.text_area.model_copy(update={"enabled": False})}),
    ]
)
