"""Messages that wait: who wakes whom."""

from __future__ import annotations

from newswire.client import MessageReceipt
from newswire.client.posts import Post, settle_all


def test_a_sender_wakes_one_thread_and_each_thread_another() -> None:
    posts = [Post(1.0, None, b"x") for _ in range(5)]
    posts[1].is_left = True
    settle_all(posts, [MessageReceipt(str(number), 2, "m", "b") for number in range(5)])
    assert [is_rung(post) for post in posts] == [True, False, False, False, False]
    posts[0].pass_on()
    posts[0].pass_on()
    assert [is_rung(post) for post in posts] == [True, False, True, False, False]
    posts[4].pass_on()  # its time was over
    assert [is_rung(post) for post in posts] == [True, False, True, True, False]
    posts[2].pass_on()
    posts[3].pass_on()
    assert [is_rung(post) for post in posts] == [True, False, True, True, True]
    assert [post.outcome.id for post in posts if isinstance(post.outcome, MessageReceipt)] == ["0", "1", "2", "3", "4"]


def is_rung(post: Post) -> bool:
    return not post._lock.locked()
