"""The HTTP server of a broker: all of waitress, and what is different here.

**What waitress does.** One *loop thread* owns every socket: it accepts, reads, parses (`HTTPRequestParser`), and hands a
channel whose request is complete to a *pool* (`ThreadedTaskDispatcher`). A *worker* runs the application (`WSGITask`), puts
the answer into the channel's buffers, sends what the kernel takes at once, and wakes the loop (`trigger`) for the rest.
A connection is read again only when its answer is sent, so a request never waits for a client: bodies are whole
before the application sees them.

**What we replace, each at a seam of waitress**, because (docs/decisions.md, The listener)

- `Loop` for `TcpWSGIServer` and its loop: `select` dies at descriptor 1024, `poll` costs O(connections) a turn; it stops at
  100 connections; a request that never ends is never cut off.
- `Pool`, one for each kind of request (`kinds`), which takes from each caller in turn: two brokers whose threads all wait for
  each other's receipt would starve, publishers would wait behind readers, and all behind whoever asks most.
- `Channel` for `HTTPChannel`: a worker waits for a client that does not read; a stream must leave waitress for the hub; a
  close with unread input resets the connection, and the client never sees why.
- `HttpRequest` for `HTTPRequestParser`: takes what two servers read in two ways (request smuggling), and bodies of a GiB; its
  patterns try a bad head in every way; a usual head does not need it (`lean_head`). `Chunks` for its receiver, which copies a
  read for each chunk.
- `AppTask`, `ProblemTask` for theirs: hand-over; answers that come later; errors as problem+json.

**What is light runs in the loop** (`light`): publishes, changes, small pushes, probes, opening streams. Its view never waits;
a call that would raises, and a view that finds that it needs a thread (`NeedsThread`) is run again in one of its kind. What
it asks of the engine comes later: the application gives the answer to what stands at `OFFER` in the environ and starts no
response. When the engine has told, in a thread of its own, the answer is appended to `answers` and the `bell` rung, once for
all of a round; the loop writes it. An answer that must read ops is written by a worker. One that does not come in time is
given up like a slow client; one whose client has left is dropped; one that comes after the end rings nobody.

**How the loop stays fair.** Peers and probes run as soon as they are parsed, and some of their sockets are served first in
each turn; of clients' requests so many are in flight, and who asks for several at a time joins in with who asks for one
(`quotas.in_flight`); so many milliseconds of their views make a turn, so many connections are accepted in one. Whose turn it
is, is a user's where a credential shows one that is known, and else an address's.

**How the loop stays O(1).** What a channel waits for changes only by its own event or by its worker. After an event the
loop refreshes that channel; a worker names its channel in `changed` before it pulls the trigger. Nobody asks the others.

**How no connection holds up the loop.** A connection that is ready waits for its turn (`turns`: each caller in turn). A loop
serves a few in one go; each of them parses one request or so many chunks. The rest waits in `unparsed`, and is not parsed
while a request is served or its answer unsent. What is refused is answered by the loop itself.

**How memory is bounded.** Requests and answers stay in memory, where they share `room`s: of clients' requests, of pushes, of
answers. When one is full, those go that hold most for longest. No file is made: it would fill the disk that messages are on.

**Hand-over.** The view of a stream puts an adopter into the environ and answers 200 without a body. The worker writes nothing
and asks for a close. Where the loop would then close the channel, it takes the socket out of waitress instead and gives it to
the adopter, with the head, which leaves with the first event as one packet. A client that left is the adopter's, too.

**What a worker never does**, nor the loop: wait for a client. Whatever the application answers is buffered (answers are
finite, streams have left), and the next pipelined request is not begun before it is sent: at most one unsent answer a
connection.

**Threads.** Each class says which thread calls which method. Only the loop thread opens, closes, registers or detaches
sockets, moves a channel between phases, or counts.
"""

from __future__ import annotations

from newswire.listener.kinds import Threads
from newswire.listener.listener import Listener
from newswire.listener.phases import Bounds, Deadlines
from newswire.listener.tasks import HAND_OVER, POSSIBLE, Adopter

__all__ = ["HAND_OVER", "POSSIBLE", "Adopter", "Bounds", "Deadlines", "Listener", "Threads"]
