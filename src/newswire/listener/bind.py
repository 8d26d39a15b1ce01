"""Where a broker listens, and what waitress is told."""

from __future__ import annotations

import errno
import socket

from waitress.adjustments import Adjustments

from newswire.core import limits
from newswire.errors import Unavailable

_NEVER = 1 << 62  # bytes


def adjustments() -> Adjustments:
    """What waitress is told. Its body limit is off: it would refuse a body of exactly the limit, and knows no paths."""
    result = Adjustments(
        ident=None,
        backlog=limits.ACCEPT_BACKLOG_COUNT,
        recv_bytes=limits.RECEIVE_BYTES,
        outbuf_high_watermark=limits.ANSWER_BUFFER_BYTES,
        max_request_header_size=limits.HEAD_BYTES + 1,  # it refuses at, not above
        max_request_body_size=_NEVER,
        channel_request_lookahead=0,
        inbuf_overflow=_NEVER,  # bodies and answers stay in memory, whose bound is ours: files would fill the disk that
        outbuf_overflow=_NEVER,  # messages are stored on
        log_socket_errors=False,  # of clients that left
        expose_tracebacks=False,
        clear_untrusted_proxy_headers=False,  # `AppTask` passes none on
        server_name="newswire.invalid",
    )
    # A socket is writable again when a third of its buffer is free: of the kernel's 4 MB a slow client takes that in minutes,
    # and looks stalled. waitress also copies a whole buffer for each few bytes that go out.
    result.socket_options = [*result.socket_options, (socket.SOL_SOCKET, socket.SO_SNDBUF, limits.SOCKET_BUFFER_BYTES)]
    return result


def bind(host: str, port: int) -> socket.socket:
    """Bind; raises Unavailable with a sentence that says what to do."""
    try:
        addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, proto, _, address = min(addresses, key=lambda row: row[0] != socket.AF_INET)  # "localhost" is 127.0.0.1
        sock = socket.socket(family, kind, proto)
    except OSError as error:
        raise Unavailable(f"{host} is no address to listen at: choose another with --host") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise Unavailable(_bind_sentence(error, host, port)) from error
    return sock


def _bind_sentence(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} at {host} is taken: stop the other program or choose another port with --port"
    if error.errno == errno.EACCES:
        return f"port {port} at {host} is not allowed to this user: choose a port above 1023 with --port"
    return f"cannot listen at {host}, port {port} ({error.strerror}): choose another address with --host"
