"""What reading the JSON of others can raise: it is none, its text is no UTF-8, or it is nested more deeply than is read."""

from __future__ import annotations

from typing import Final

from msgspec import DecodeError

BAD_JSON: Final = (DecodeError, UnicodeDecodeError, RecursionError)
