"""Answers counted by route and status."""

from __future__ import annotations

import threading

from flask import Flask, Response

from newswire.web.tally import Tally


def test_threads_count_for_themselves_and_are_added_up() -> None:
    app, tally = Flask("x"), Tally()
    app.after_request(tally.count)
    app.add_url_rule("/a/<name>", view_func=lambda name: Response("x", 200 if name == "good" else 400))

    def ask() -> None:
        for name in ("good", "bad", "good"):
            app.test_client().get(f"/a/{name}")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ask()
    assert tally.read() == {("/a/<name>", 200): 10, ("/a/<name>", 400): 5}
