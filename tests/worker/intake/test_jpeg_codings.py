"""Rare codings and samplings of JPEG: what is missing is noticed there, too."""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pictures import encode, photo
from tests.worker.intake.jpegs import (
    EOI,
    MOST,
    ODDLY,
    PROGRESSIVE,
    apart_flat,
    code_of,
    flat,
    oddly_progressive,
    same,
    scans_of,
    spans,
)
from worker.errors import PictureError
from worker.intake.decode import decode
from worker.intake.jpeg_segments import walk

LAYOUTS = [
    [(4, 2), (1, 1), (1, 1)], [(2, 4), (1, 1), (1, 1)], [(3, 1), (1, 1), (1, 1)], [(1, 3), (1, 1), (1, 1)],
    [(3, 2), (1, 1), (1, 1)], [(2, 3), (1, 1), (1, 1)], [(4, 1), (2, 1), (2, 1)], [(2, 2), (2, 2), (1, 1)],
    [(2, 2), (2, 1), (1, 1)], [(1, 1), (2, 2), (2, 2)], [(2, 1), (2, 1), (2, 1)], [(1, 2), (1, 2), (1, 2)],
    [(2, 2), (1, 2), (1, 2)], [(2, 2), (2, 1), (2, 1)], [(1, 1), (1, 1), (1, 1)], [(2, 1), (1, 1), (1, 1)],
    [(2, 2), (1, 1), (1, 1)], [(1, 2), (1, 1), (1, 1)], [(4, 1), (1, 1), (1, 1)], [(1, 4), (1, 1), (1, 1)],
    [(2, 1), (1, 2), (1, 1)], [(1, 1)], [(2, 2)], [(4, 3)],
]  # fmt: skip


@pytest.mark.parametrize("factors", LAYOUTS)
def test_every_sampling(factors: list[tuple[int, int]]) -> None:
    """Also those that the fast decoder does not know; and there, too, what is missing is noticed."""
    data = flat(factors)
    picture = decode(data, MOST)
    assert (picture.width, picture.height) == (100, 70)
    assert np.abs(picture.pixels.astype(int) - 128).max() <= 1
    assert code_of(data[:-4] + EOI) == "damaged"
    assert code_of(data[:-6]) == "truncated"


def test_scans_that_are_missing_whole() -> None:
    """No decoder warns of them; what other scans have sent tells: higher bits, or nothing at all of a component."""
    count = len(walk(PROGRESSIVE).scans)
    assert same(scans_of(PROGRESSIVE, list(range(count))), PROGRESSIVE)
    for most in range(1, count):
        assert code_of(scans_of(PROGRESSIVE, list(range(most)))) == "damaged"
    apart = apart_flat(3)
    assert decode(apart, MOST).width == 100
    for some in ([0], [0, 1], [0, 2], [1, 2]):
        assert code_of(scans_of(apart, some)) == "damaged"


@pytest.mark.parametrize("factors", [(4, 2), (2, 4), (3, 1), (3, 2)])
def test_damaged_progressive_data_of_any_sampling(factors: tuple[int, int]) -> None:
    """The library that knows every sampling does not tell."""
    whole = oddly_progressive(factors)
    assert decode(whole, MOST).width == 320
    for number, (start, length) in enumerate(spans(whole)):
        middle = start + length // 2
        assert code_of(whole[:middle] + whole[start + length :]) == "damaged", number
        assert code_of(scans_of(whole, [n for n in range(len(spans(whole))) if n != number])) == "damaged"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, len(ODDLY) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_change_of_such_data_gives_an_answer(changes: list[tuple[int, int]]) -> None:
    """A picture, or a reason."""
    data = bytearray(ODDLY)
    for at, value in changes:
        data[at] = value
    with suppress(PictureError):
        decode(bytes(data), MOST)


ARITHMETIC = [
    base64.b85decode(data)
    for data in (
        (
            "|JeWF01!$>Nk#wx0RR9200961|JwjV01yid4h#wq4h;?x5fBp?C>j_R78o%jB^@X_Gd(;xGdMRuNL)@pL{~*OI8bd-S6^ahXlFi6ad~iLcwA*?"
            "WB=O#Lje&I5*QU2FB%#zV?sDWV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`Klx01*fPFaR(E0U`hb5di}c"
            "0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zfH)r?9Au2lDz7s92HZrxTvmAitP-kwQ(;hSOUKm8UNk4Z(<QJDU^NwDtj&#XY(+0A7!GD=IcsFAM|"
            "vSzYmAUaVoFhZn{nV4${h1Lrnifw@>po}TYOT$v%pCOL%fXHCCvH0@Us_V#*XU-Fane(Ic#~xjuvk@M>%=`wQ1#{Y$C~(%0{<(kehmwgeHmo2P"
            "-|l&vBmI?}YOJ&W0P7ST&2gI}HFTVtY683AXM(|V@WK&;6_D*~ky?;Lb%R2+hgB9Qe3H(k<}|+q`a=OM*Fjjr$eDqVikqi`ERxxI+;Zv4tCX!@"
            "<atqXrZ)_+)@Zv_R~|32JoNwB"
        ),
        (
            "|JeWF01!$>Nk#wx0RR9200961|JwjV01yid4h#wq4h;?x5fBp?C>j_R78o%jB^@X_Gd(;xGdMRuNL)@pL{~*OI8bd-S6^ahXlFi6ad~iLcwA*?"
            "WB=O#Lje&I5*QU2FB%#zV?sDWV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`Kly01*fPFaR(E0U`hb5di}c"
            "0sqVZ1^^HN5dYc$3<CiG0uTcb0005dz64nY%Y@RIDm`$o`g*QIzPF&ktEY)l`QN~xWLmZvnAcxSi`?_R7vI=KW1IiX00a;P|Jncu0RaF31p*S8"
            "%tLt0HfsH&(<4@jVeatEvA^gHEUTRNu16;&GYTx3xNqPX|I7dc5e5I+00;pC0RcY&HgjZrUMG^7+X<zcdGcd@M$v9jt{WE~A+>b>%m4%t1^?Or"
            "2mt~C0Y3p6^*P@!cQs+4)CKFt0~nD1%m4%s1^?Or2mt{A20sF@|I7dc5C#9*00;pA00BQCGHQk~?7Pe%5{;|BzHDRM=|6X%Wx$cuJArH9|Jncy"
            "0|5X600RI301$^}5&;CHX#dOr1Q7-Q+5iXv0|5a)5S#~0kRmeU>>{!qh5yU|1Q7-Q+5iXv0s#R(5Drc0#scShg~;&#%m4%s1^?Or2mt{A0Y4Da"
            "KaxI<IFZtLbj1b-3aCn$0|TpRPU2}}>ny98o|jH$*jC|;hnxoCxaQ6O*#"
        ),
    )
]
"""48 x 48 pixels, sequential and progressive, by libjpeg-turbo's cjpeg: Pillow writes none."""


@pytest.mark.parametrize("data", ARITHMETIC)
def test_arithmetic_data_that_end_too_early(data: bytes) -> None:
    """Behind their end zeros are read without a word; what a whole picture's decoder does not read may be anything."""
    picture = decode(data, MOST)
    assert (picture.width, picture.height) == (48, 48)
    assert np.ptp(picture.pixels) > 200
    start, length = spans(data)[-1]
    for more in (b"", bytes(300)):
        assert code_of(data[: start + length * 3 // 5] + more + EOI) == "damaged"
    assert same(data[:-2] + bytes(3) + EOI, data)


def test_a_frame_of_an_mjpeg_film() -> None:
    """Without Huffman tables, which are the standard's; with padding between its intervals."""
    picture = encode(photo(320, 240), quality=85, restart_marker_blocks=20)
    layout = walk(picture)
    found = layout.scans[0]
    bare = replace(found, tables=tuple(part for part in found.tables if part[0] != 0xC4))
    padded = found.data.replace(b"\xff\xd1", b"\xff\xff\xff\xff\xd1").replace(b"\xff\xd2", b"\0\0\xff\xd2")
    layout.scans[:] = [replace(bare, data=padded)]
    assert b"\xff\xc4" not in layout.rewrite()[:600]
    assert same(layout.rewrite(), picture)
    layout.scans[:] = [replace(bare, data=padded[: len(padded) // 2])]
    assert code_of(layout.rewrite()) == "damaged"
