from __future__ import annotations

import pytest

from newswire.web.devices import COOKIE, Devices, set_cookie
from newswire.web.sessions import Cookies, Session

OLD, NEW = b"o" * 32, b"n" * 32


def shown(value: str) -> dict[str, str]:
    return {"HTTP_COOKIE": f"a=b; {COOKIE}={value}"}


def test_a_browser_is_known_for_the_name_that_signed_in_with_it_alone() -> None:
    value = Devices([OLD]).write("ann")
    source = Devices([NEW, OLD]).source_of(shown(value), "ann")
    assert source.startswith("device ")
    assert Devices([OLD]).source_of(shown(value), "ben") == ""
    assert Devices([NEW]).source_of(shown(value), "ann") == ""
    assert Devices([OLD]).source_of(shown(Devices([OLD]).write("ann")), "ann") != source


@pytest.mark.parametrize("value", ["", "x", "a.b", "é", "x" * 1_000, Cookies([OLD]).write(Session("id", "ann", "1001-a.1", 1))])
def test_what_is_no_cookie_of_ours_says_nothing(value: str) -> None:
    assert Devices([OLD]).source_of(shown(value), "ann") == ""


def test_it_is_sent_where_one_signs_in_and_nowhere_else() -> None:
    assert "; Path=/login; HttpOnly; SameSite=Lax" in set_cookie("v", secure=False)[1]
    assert set_cookie("v", secure=True)[1].endswith("; Secure")
