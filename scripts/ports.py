"""scripts/demo asks before it makes an environment: are its ports free? Any Python 3 will do; `demo.py` looks again.

ports.py ARGUMENTS OF SCRIPTS/DEMO: status 1 and a sentence if another program listens at one of the demo's ports.
"""

import socket
import sys

FIRST = 5053


def main(arguments: list) -> int:  # type: ignore[type-arg]  # a Python 3.6 may run this
    """Look, unless the arguments say that nothing is started, or that free ports are taken."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    first = words[words.index("--port") + 1] if "--port" in words[:-1] else str(FIRST)
    if "--stop" in words or ("--once" in words and "--port" not in words) or not first.isdigit():
        return 0
    for port in (int(first), int(first) + 1):
        if port < 65536 and is_taken(port):
            hint = "end that, take others (`scripts/demo --port NUMBER`), or run `scripts/demo --once`, which finds its own"
            print(f"Port {port} is taken by another program: {hint}.", file=sys.stderr)
            return 1
    return 0


def is_taken(port: int) -> bool:
    """Say whether a broker could not listen at `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
