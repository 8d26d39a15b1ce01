"""How many requests were answered, by route and status."""

from __future__ import annotations

import threading
from collections import Counter

from flask import Response

from newswire.web.deferred import DeferredResponse
from newswire.web.request_fields import request_now


class Tally:
    """Counts answers. Any thread: each counts for itself, and whoever reads adds up."""

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._counters: list[Counter[tuple[str, int]]] = []  # one a thread; of an ended one it stays

    def count(self, response: Response) -> Response:
        """Count `response`, the answer to the request that is being served, when its status is known; return it."""
        rule = request_now().url_rule
        route = rule.rule if rule is not None else ""
        if isinstance(response, DeferredResponse):
            response.when_finished(lambda status: self._add(route, status))
        else:
            self._add(route, response.status_code)
        return response

    def _add(self, route: str, status: int) -> None:
        counter = getattr(self._of_thread, "counter", None)
        if counter is None:
            counter = self._of_thread.counter = Counter()
            self._counters.append(counter)
        counter[route, status] += 1

    def read(self) -> Counter[tuple[str, int]]:
        """Return how often each route (`""`: none was found) was answered with each status."""
        total: Counter[tuple[str, int]] = Counter()
        for counter in list(self._counters):
            total.update(dict(counter))  # a copy: it may be counted on meanwhile
        return total
