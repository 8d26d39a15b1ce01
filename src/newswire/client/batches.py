"""Batches: lines cut into bodies, and what comes of several bodies made one outcome. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from newswire.client.answers import BatchReceipt
from newswire.core import limits
from newswire.core.model.commands import batch_sentence
from newswire.errors import NewswireError, TooLarge

_LINE: Final = re.compile(r"line (\d+)(?=:)")


def batches(
    lines: Iterable[bytes], most_lines: int = limits.BATCH_MESSAGES, most_bytes: int = limits.BATCH_BYTES
) -> Iterator[list[bytes]]:
    """Cut lines into lists within the limits of one body, in order. Raises TooLarge for a line that fits in none.

    An empty line ends a list that is not full.
    """
    batch: list[bytes] = []
    size = number = 0
    for line in lines:
        if not line:
            if batch:
                yield batch
            batch, size = [], 0
            continue
        number += 1
        if len(line) > most_bytes:
            raise TooLarge(f"line {number}: {len(line)} bytes are more than a batch may have ({most_bytes})")
        if batch and (len(batch) == most_lines or size + len(line) > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def sum_of(total: BatchReceipt, receipt: BatchReceipt) -> BatchReceipt:
    """One receipt of all bodies before and the next one."""
    count = total.count + receipt.count
    copies = min(total.copies, receipt.copies) if total.copies else receipt.copies
    duplicates = total.duplicates + receipt.duplicates
    scheduled = total.scheduled + receipt.scheduled
    waiting, withdrawn = total.waiting + receipt.waiting, total.withdrawn + receipt.withdrawn
    return BatchReceipt(
        count=count,
        copies=copies,
        first=total.first or receipt.first,
        last=receipt.last or total.last,
        message=batch_sentence(count, scheduled, duplicates - waiting - withdrawn, waiting, withdrawn),
        duplicates=duplicates,
        scheduled=scheduled,
        waiting=waiting,
        withdrawn=withdrawn,
    )


def renumbered(error: NewswireError, before: int) -> NewswireError:
    """The same error, with the lines that it names counted from the first of all messages."""
    if not before:
        return error
    detail = _LINE.sub(lambda match: f"line {int(match[1]) + before}", error.detail, count=1)
    line = error.extra.get("line")
    extra = {**error.extra, "line": line + before} if isinstance(line, int) else error.extra
    return type(error)(detail, code=error.code, **extra)
