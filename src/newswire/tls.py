"""TLS towards brokers: what is trusted, and what went wrong in words. No server of our own: a proxy ends TLS (docs/operate.md).

A certificate is always checked, with the name it is for. `ca_file`: certificates in PEM of those who may sign one; without it,
those that this machine trusts.
"""

from __future__ import annotations

import socket
import ssl
from typing import Final, NamedTuple

SPEAKS_TLS: Final = "it speaks TLS: write https:// before the address"
SPEAKS_HTTP: Final = "it speaks plain HTTP: write its address without https://"

_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")
_TLS_WORDS: Final = (b"HTTPS port", b"HTTPS server", b"SSL-enabled server")  # as nginx, Go and Apache answer plain HTTP
_EXPIRED, _NOT_YET, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64  # X509_V_ERR_* of OpenSSL
_OF_NO_CA: Final = frozenset({2, 18, 19, 20, 21})


class NoTrust(OSError):
    """The certificates of those who may sign cannot be read; the text says which."""


class Validity(NamedTuple):
    """From when to when a certificate is good, in seconds since 1970."""

    begin: float
    end: float


def validity(host: str, port: int, ca_file: str, seconds: float) -> Validity:
    """That of the certificate that is shown there, and trusted; each step takes `seconds` at most. Raises OSError."""
    trust = context(ca_file)
    with socket.create_connection((host, port), seconds) as plain, trust.wrap_socket(plain, server_hostname=host) as shown:
        fields = shown.getpeercert() or {}
    return Validity(*(float(ssl.cert_time_to_seconds(str(fields[name]))) for name in ("notBefore", "notAfter")))


def context(ca_file: str = "") -> ssl.SSLContext:
    """What connections to brokers are made with: some 30 ms of work where this machine's own list is read. Raises NoTrust."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        why = "it holds no certificates in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise NoTrust(f"cannot use {ca_file} (--ca-file): {why}") from error


def reason(error: BaseException) -> str:
    """Why there is no secure connection, for people."""
    if any(word in str(error).upper().replace(" ", "_") for word in _NO_TLS):
        return SPEAKS_HTTP
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"no secure connection ({getattr(error, 'reason', None) or type(error).__name__})"
    code = error.verify_code
    if code in _OF_NO_CA:
        return "its certificate is signed by nobody who is trusted here: name its CA with --ca-file"
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        return "its certificate is for another name: use the name that it is for, or have it made for this one"
    if code == _EXPIRED:
        return "its certificate has expired: renew it"
    if code == _NOT_YET:
        return "its certificate is not valid yet: look at the clocks"
    return f"its certificate is not trusted here ({error.verify_message})"


def is_tls_port(body: bytes) -> bool:
    """Say whether a TLS server answered so to what was no TLS."""
    return any(word in body for word in _TLS_WORDS)
