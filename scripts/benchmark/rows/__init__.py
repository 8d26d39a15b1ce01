"""What is measured, a function each: it gets a system and the sizes, starts what it needs, and returns figures.

A row raises NotOffered where a system has nothing like it. What is measured has the first cores, the load the rest; if none is
left, as for two brokers on two cores, the load shares theirs.
"""

from typing import Final

from benchmark.rows import access, failures, growth, jetstream, publishes, streams
from benchmark.rows.declared import QUICK, Row, Sizes

ROWS: Final = {row.name: row for module in (streams, publishes, access, failures, growth, jetstream) for row in module.ROWS}

__all__ = ["QUICK", "ROWS", "Row", "Sizes"]
