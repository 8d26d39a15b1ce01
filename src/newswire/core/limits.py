"""Every limit, its unit last in its name, its reason beside it. Nothing else in the package holds a bare bound.

Longer than other rooms: it is one list, and the only one.
"""

from __future__ import annotations

from typing import Final

# -- names ------------------------------------------------------------------------------------------------------
TOPIC_CHARS: Final = 128  # some ten levels of words, in one line of a page
USERNAME_CHARS: Final = 64  # the local part of a mail address has at most so many
KEY_BYTES: Final = 64  # a UUID is 36; the memory of a key is a hash, the bound keeps records small
BROKER_ID_CHARS: Final = 16  # part of every origin, and so of every vector and event id
TITLE_CHARS: Final = 256  # one line on a page
TAGS_COUNT: Final = 16  # shown as chips beside a message
TAG_CHARS: Final = 64
URL_CHARS: Final = 2048  # what browsers and proxies take
ADDRESS_CHARS: Final = 268  # https://, a host name of 253 characters, a colon, a port

# -- messages and requests --------------------------------------------------------------------------------------
MESSAGE_BYTES: Final = 64 * 1024  # `data` as UTF-8: news is text; what is larger is published as a link
BATCH_MESSAGES: Final = 10_000  # lines of one NDJSON body: applied in some 40 ms
BATCH_LINES: Final = 40_000  # of one NDJSON body, empty ones included: 8 MiB of line ends would be 8 million
BATCH_BYTES: Final = 8 * 1024 * 1024  # of one NDJSON body: a full batch of 800 bytes a line
GZIP_MEMBERS_COUNT: Final = 1_000  # of one body: as many pieces of 8 KiB are the largest batch; each costs up to 15 us
GZIP_LEAST_BYTES: Final = 2 * 1024  # of an answer that is compressed: a shorter one is as many packets
FORM_BYTES: Final = 512 * 1024  # of a form or JSON body: a message of 64 KiB, percent-encoded or \\u-escaped, and its fields
CHANGE_BYTES: Final = 32 * 1024  # of a body that subscribes or acknowledges: an event id, percent-encoded, and two names
HEAD_BYTES: Final = 16 * 1024  # request line and headers: an event id of 8 KiB, and as much again
HEADERS_COUNT: Final = 100  # of one request: browsers send about 20; 16 KiB hold 4,000 empty ones
EXPIRES_SECONDS: Final = 10 * 365 * 86_400  # `expires` beyond retention has no effect; ten years keep the sum exact
EVENT_ID_CHARS: Final = 8 * 1024  # a header line; holds two vectors of over 100 entries
TIME_MILLISECONDS: Final = 253_402_300_799_999  # of a time stamp: the last one of year 9999, which every calendar can show
NAMES_REMEMBERED_COUNT: Final = 10_000  # origins, and topics, known to have their form: what one start reads has few
VECTOR_ENTRIES: Final = 10_000  # of a vector on the wire: a restart adds one, compaction removes them
VECTOR_SHORTEN_ENTRIES: Final = 64  # a longer one is shortened by another `began`; two of so many fit into an event id
RUN_OPS: Final = 2**31  # of one origin, then the run goes on under another: a sequence has 32 bits
VECTOR_ALARM_ENTRIES: Final = 100  # of a short vector: more means that `began` does not keep it short (H2)
PAGE_MESSAGES: Final = 1_000  # of one `GET /messages`: some 10 ms of reading
SEARCH_CHARS: Final = 128  # of what is searched for: a line of a search box
SEARCH_WORDS_COUNT: Final = 8  # of it: each is looked for in each message
SEARCH_MESSAGES: Final = 2_000  # looked at by one search, some 40 ms of reading; who asks for more goes on from there
SEARCH_STEPS: Final = 64  # of SCAN_ROWS each, where few rows of the log are looked at for their text: 500,000 rows, some 50 ms
READ_TOPICS_COUNT: Final = 100  # of one stream of ntfy's wire: a phone shows fewer, and each is looked up when it is opened
OTHER_BROKERS_SECONDS: Final = 10  # before a message that was read last: what another broker took then may not have come
STEP_MESSAGES: Final = 64  # read or written before publishers may go first, about a millisecond
STEP_LINES: Final = 256  # of a batch, parsed before single messages may go first, 0.2 ms; 2 ms if each is looked at by itself
STEP_BYTES: Final = 512 * 1024  # of a batch: longer ones are stored and copied one after the other, a disk writes this in 5 ms
LIGHT_TEXT_CHARS: Final = 20_000  # of a message: not worth a look, as they are 120 KB at most where they are stored
LONG_TEXT_CHARS: Final = 128 * 1024  # of a message where it is stored: one of control characters is longer, and takes turns
FORM_TEXT_BYTES: Final = 96 * 1024  # of what a form says: a message of 64 KiB and its fields; escapes cost 0.25 us each
BATCH_QUIET_SECONDS: Final = (
    2.0  # since a short publish, until long batches are stored together: who publishes now and then counts
)
BATCH_REST_SECONDS: Final = 0.5  # at most between two long batches: one whose peer hangs does not hold up the next for as long
GIVE_WAY_SECONDS: Final = 0.005  # that a step of reading waits for publishes that are served: twice what one takes
PAGE_DEFAULT_MESSAGES: Final = 100
TIME_CHARS: Final = 64  # an RFC 3339 time with nanoseconds has 35
LIST_BYTES: Final = 16 * 1024  # of a list or object inside a JSON body: 16 tags of 64 characters, each escaped as two `\\u....`
QUOTES_COUNT: Final = 400  # of a JSON object that is large: 32 names and texts and 16 tags have 160
SCANNED_NAMES: Final = 12  # of a JSON object that are looked for one by one: no message has more
FIELDS_COUNT: Final = 32  # of a query, form or JSON object: no request has more than a dozen
PAGE_BYTES: Final = 4 * 1024 * 1024  # of message text in one `GET /messages`: 1,000 messages of 64 KiB would be 64 MB
RETRY_AFTER_SECONDS: Final = 1  # told with a 503: a broker that starts or moves is back within it, or another serves
RETRY_AFTER_LIMIT_SECONDS: Final = 10  # told with a 429 or 507: somebody must act first
STATIC_CACHE_SECONDS: Final = 300  # of the pages' scripts and styles: an upgrade shows within minutes
PREFLIGHT_CACHE_SECONDS: Final = 600  # how long a browser remembers that a page of one broker may ask another

# -- who asks ---------------------------------------------------------------------------------------------------
FAILED_SIGN_INS_COUNT: Final = 10  # in FAILED_SIGN_INS_SECONDS, from a source, and of one for a name: who forgot tries a few
FAILED_SIGN_INS_OF_NAME: Final = 60  # of a name from all sources that are not trusted for it: more than one address has
TRUSTED_SOURCE_SECONDS: Final = 30 * 86_400.0  # that an address counts by itself for a name that signed in there
DEVICE_SECONDS: Final = 180 * 86_400  # that a browser does, by its cookie
FAILED_SIGN_INS_SECONDS: Final = 60.0
PASSWORD_BYTES: Final = 1_024  # as UTF-8: a sentence of 150 words; hashing takes as long for any
PASSWORD_CHARS: Final = 8  # at least, of one that is set: what NIST SP 800-63B asks for
PASSWORD_CHECKS_COUNT: Final = 2  # hashed at once: each takes 20 MB and a processor for some 30 ms
PASSWORD_WAIT_SECONDS: Final = 5.0  # that somebody waits for his turn to be hashed: a crowd that signs in after a restart
PASSWORD_CACHE_SECONDS: Final = 300.0  # that a verified password is not hashed again: programs that send it with each request
CALLERS_CACHE_COUNT: Final = 20_000  # credentials whose caller is remembered, until a right changes: 300 bytes each
CALLERS_CACHE_SECONDS: Final = 60.0  # at most: what is bound to time is looked at again
SESSION_SECONDS: Final = 14 * 86_400  # after which one signs in again: over a holiday, not for ever
TICKET_SESSION_SECONDS: Final = 12 * 3_600  # of a page that was opened with a ticket: a day's work
TICKET_SECONDS: Final = 30.0  # from asking for a ticket to its use: a browser starts within them
TICKETS_COUNT: Final = 10_000  # not used yet; beyond it the oldest goes
TOKEN_BYTES: Final = 20  # of chance in a token: 160 bits
AUDIT_ROWS: Final = 1_000  # of one `GET /audit`
AUDIT_DEFAULT_ROWS: Final = 100
AUDITED_FAILURES_PER_SECOND: Final = 1.0  # failed sign-ins that are written down, on average: guessing must not fill the disk
AUDITED_FAILURES_BURST: Final = 100.0
SIGN_INS_KEPT_SECONDS: Final = 366 * 86_400  # who signed in stands in the audit trail: a year and a day, as auditors ask for
FAILURES_KEPT_SECONDS: Final = 30 * 86_400  # and who failed to: at one a second 2,600,000, 0.2 GB of memory

# -- subscriptions and cursors ----------------------------------------------------------------------------------
SUBSCRIPTIONS_PER_USER: Final = 1_000  # an acknowledgement may name all of them: 30 KB
ACK_SUBSCRIPTIONS: Final = 1_000  # cursors moved by one op: keeps a record under 64 KiB

# -- access: who may do what ---------------------------------------------------------------------------------------
USERS_COUNT: Final = 100_000  # accounts that are not removed: the people and programs of a large organisation, 40 MB
TOKENS_PER_USER: Final = 100  # the programs and devices of one: a list that a person still reads
TOKEN_LABEL_CHARS: Final = 128  # what a token is for, in one line
TOKEN_PATTERNS: Final = 64  # of one token and verb: a program has a few topics; each is met with each grant of its user
GRANTS_PER_WHO: Final = 256  # of one user, and of everybody, each: a subscription that is only covered in part is met with all
RIGHTS_KEPT: Final = 20_000  # of accounts and tokens, as worked out last: as many as there are streams, some KB each
PASSWORD_HASH_CHARS: Final = 256  # as argon2id writes it: 97 with the usual parameters

# -- pieces of queries: how much is looked at before the state lock is let go (docs/rules.md, QUERIES) ---------------
PIECE_SUBSCRIPTIONS: Final = 256  # a cursor joined or written down: about 1 us each
PIECE_TOPICS: Final = 256  # an origin of a topic looked up: 1 to 3 us each
PIECE_OPS: Final = 512  # of a batch that is stored, applied: 1.5 us each
BATCH_LONG_OPS: Final = 1_024  # a longer batch is stored in pieces: this one takes 10 ms
BATCH_LONG_BYTES: Final = 512 * 1024  # and a larger one
BATCH_PIECE_OPS: Final = 256  # of a long batch, stored and pushed at once: what others publish goes between, 3 ms
BATCH_PIECE_BYTES: Final = 192 * 1024  # and their size, for the same reason
OPEN_BATCHES_COUNT: Final = 16  # told of in one header: a broker stores one long batch at a time
MAKE_WAY_SECONDS: Final = 0.0001  # of one try to let waiting readers in between two pieces of a commit
MAKE_WAY_TRIES: Final = 10  # then the next piece goes on: a commit of 10,000 takes 40 ms more at most
PIECE_ROWS: Final = 512  # that a page takes from the log, of which some may be dropped: 1.5 us each
CHECKPOINT_ROWS: Final = 1_024  # of the log between two kept vectors: a vector anywhere is at most so many steps away

# more containers than were freed, until the collector looks through what is new, 0.5 ms; a request that waits for its receipt
# has some 40, and to look through those of 64 again and again (Python: every 700) took a twelfth of a publish
YOUNG_OBJECTS: Final = 10_000
FREEZE_OBJECTS: Final = 5_000  # topics and subscriptions that came since the collector was told of the last: it needs 5 ms

# -- retention --------------------------------------------------------------------------------------------------
RETENTION_SECONDS: Final = 30 * 86_400  # longer than a holiday
RETENTION_MESSAGES: Final = 1_000_000  # a topic: their index is 64 MB
RETENTION_EVERY_SECONDS: Final = 60.0  # how often it is looked at
RETENTION_STEPS_COUNT: Final = 128  # in which what becomes old is dropped: six hours of a month, and messages stay 1 % longer
RETENTION_TIGHT_SECONDS: Final = 2.0  # the same while there is hardly room to compact: what is dropped too late stays
RETENTION_LOW_SECONDS: Final = 1.0  # the same while the disk is nearly full: what is dropped is room for what comes
EXPIRY_EVERY_SECONDS: Final = 1.0  # between two ops that withdraw what is over: each is a sync
ESCALATE_AGAIN_SECONDS: Final = 5.0  # until a message that names who has not confirmed is tried again: a disk may hang
ESCALATE_NAMES: Final = 500  # of people that it names: 32 KB at most, half of a message
SCHEDULE_AHEAD_SECONDS: Final = 30 * 86_400  # a message is scheduled: what is further off is for a calendar
SCHEDULE_LATE_SECONDS: Final = 3_600  # that a time may have passed: a retry after an outage is published, a wrong day is told
SCHEDULED_PER_USER: Final = 1_000  # messages that wait: 33 for each day
SCHEDULED_COUNT: Final = 10_000  # messages that wait, of all users together
SCHEDULED_BYTES: Final = 32 * 1024 * 1024  # of their texts: they are in memory until they are due
RELEASE_OPS: Final = 64  # messages that are due, published in one round: others publish in between
RELEASE_CATCH_UP_MILLISECONDS: Final = 10_000  # that what is due waits for what another broker has: perhaps it is withdrawn
RELEASE_AGAIN_SECONDS: Final = 5.0  # until what is due is published again that was not stored: a disk may hang
WITHDRAWN_OPS: Final = 256  # named by one op: 10 KB, taken from their topics in a millisecond
CLOCK_APART_SECONDS: Final = 60.0  # clocks that differ by it, and a clock that was set by it, are told to operators
CLOCK_JUMP_SHOWN_SECONDS: Final = 3_600.0  # how long a clock that was set is told: long enough to be seen
CLOCK_STEP_SECONDS: Final = 3_600.0  # between two ops: more is no time that retention believes to have passed
CLOCK_FUTURE_MILLISECONDS: Final = 86_400_000  # a stamp that is so far ahead of every clock was made by one that was ahead
LIVES_SECONDS: Final = 2_700.0  # between two ops that say that a broker lives: no step, if one comes late
CLOCK_TRUST_SECONDS: Final = 7 * 86_400.0  # until it does: longer than a wrong clock stays unseen over a holiday
CLOCK_SETTLE_SECONDS: Final = 600.0  # after a start: a host without a battery asks a time server what time it was then
KEY_SECONDS: Final = 86_400  # how long a publisher's key is remembered (docs/rules.md, KEY)
KEYS_COUNT: Final = 1_000_000  # and how many at least, the newest; up to a quarter more: 100 bytes each
KEY_USES_COUNT: Final = 16  # messages that one key is known to name: a use a day, and some of brokers that were apart

# -- commit and replication -------------------------------------------------------------------------------------
INBOX_EVENTS: Final = 10_000  # waiting for the commit thread; beyond it requests are refused (503), not queued
COMMIT_OPS: Final = 20_000  # of one commit: two full batches; bounds the time between two syncs
PUSH_OPS: Final = 5_000  # of one push or answer
PUSH_BYTES: Final = 4 * 1024 * 1024  # of one push or answer: well under what a peer receives within its 2 s
PACK_LEAST_BYTES: Final = 4 * 1024  # of a push that is compressed: a smaller one saves less than two packets, and costs 15 us
PUSH_LINES: Final = (
    100_000  # of what is read as a push: twenty times what one has; a frame of 2 KB may hold 16 million empty ones
)
PUSH_ORIGINS: Final = 1_000  # that begin in one push, answer or batch: 100,000 starts take 100 pushes
ANCESTRY_FIRST: Final = 8  # origins whose `began` the first push of a link tells: two brokers that restarted a few times apart
ANCESTRY_MOST: Final = 4_096  # and at most in one push or answer, 0.4 MB; beyond it ops are sent that the peer may hold
PUSH_LEAST_BYTES: Final = 64 * 1024  # what a push shrinks to over a slow line: 32 KiB a second get through
HANG_UP_SECONDS: Final = 0.25  # how often an idle link looks whether its peer is gone
PEER_BODY_BYTES: Final = 16 * 1024 * 1024  # accepted from a peer: more than any push, so no client's limit stops a link (H15)
PUSH_TIMEOUT_SECONDS: Final = 2.0  # a peer that does not answer a push within it is down
PUSH_PACE_SECONDS: Final = 0.5  # by which a push may go out late: the pace of ticks, and a busy round before it
PUSH_AGAIN_SECONDS: Final = 1.0  # after a push that failed: how soon the next; a peer that returns is seen within it
CATCH_UP_PATIENCE_SECONDS: Final = 3.0  # a peer that cannot reach this broker, which starts, is waited for no longer
CATCH_UP_SECONDS: Final = 0.2  # between two pushes that ask a peer for what is lacking, while it brings nothing itself
QUIET_SECONDS: Final = 1.0  # nothing was stored for so long: a mark vouches for the end of the ops file
DISK_STALL_SECONDS: Final = 2.0  # a write or sync that takes longer: the broker says that it does not serve (H17)
HEARTBEAT_SECONDS: Final = 5.0  # a link that has nothing to push says so as often
HEARTBEAT_GRACE_SECONDS: Final = 2.0  # silent for heartbeat + grace: down
RECEIPT_SECONDS: Final = 10.0  # how long a request waits for its receipt before the answer is "unknown"
COMPACT_SECONDS: Final = 900.0  # that an operator's request waits for a compaction: some ten GB at the pace that spares others
RECEIPT_GRACE_SECONDS: Final = 1.0  # and how much longer it waits for the core to say so itself
DETAIL_CHARS: Final = 300  # of a peer's own words that are logged and shown
LOST_OPS: Final = 100_000  # given up by one op: each costs four bytes of memory, whoever wrote it
SUSPECT_OPS: Final = 10_000  # beyond what is held of an origin: a sequence that damaged bytes name further on is damage itself
HOLES_COUNT: Final = 64  # told of in one header: more are told when these are closed
HOLES_SHOWN_COUNT: Final = 8  # of one broker, a sentence each in readiness and log
NEVER_ROWS: Final = 2**63  # an offset that no log has
COMPACT_KEY_SECONDS: Final = KEY_SECONDS  # a message stays so long for its key, as long as that is remembered
COMPACT_LOOK_SECONDS: Final = 10.0  # between two looks at how much of the log is dead
COMPACT_LOOK_TOPICS: Final = 64  # counted anew in one look, of those of which something was dropped: a few ms
COMPACT_LEAST_ROWS: Final = 20_000  # dead, before a broker compacts by itself: some MB, and as much again while it does
COMPACT_SHARE: Final = 0.5  # of a log that is dead, before a broker compacts by itself: it writes no more than it frees
COMPACT_AGAIN_SECONDS: Final = 3_600.0  # what a compaction did not leave out is looked at again then: its key may be forgotten
COMPACT_AGAIN_MOST_SECONDS: Final = 86_400.0  # the same, where that was in vain: each time twice as long, up to a day
COMPACT_AWAY_SECONDS: Final = 7 * 86_400.0  # that a broker is waited for which is away: repaired within a week it fetches ops
COMPACT_ROOM: Final = 1.5  # times what stays: with less room a compaction waits no longer, as soon it has too little
COMPACT_LAST_AWAY_SECONDS: Final = 600.0  # that a broker is waited for at the last chance: longer than an upgrade takes
MOVES_COUNT: Final = 64  # compactions through which a reader keeps its place: a stream reads on within one
COMPACT_LOW_ROWS: Final = 1_000  # dead, when the disk is nearly full: a small disk has never more
COMPACT_LOW_SHARE: Final = 0.1  # the same when the disk is nearly full
OFFER_PATIENCE_SECONDS: Final = 60.0  # for the next part of what another broker hands over
OFFER_TURN_SECONDS: Final = 5.0  # without another part, before some other broker may begin to hand over
VOID_TOPICS: Final = 256  # of one void: 64 KiB of names; the messages of more topics are voids in a row
VOID_SPAN_SECONDS: Final = 86_400.0  # of one void at most: what a broker has lived through is told by its stamp
VOID_SPANS_COUNT: Final = 32  # that retention's time has: an origin has so many voids in it, and messages stay 3 % longer
RECALL_OPS: Final = 1_000  # read at once by a broker that holds what was given up, to store it again
PEERS_COUNT: Final = 16  # each has a thread and a push
TOLD_COUNT: Final = 32  # others that a header names while the cluster id is open: configured ones and members
CLOCK_SKEW_SECONDS: Final = 300  # of a signed peer request; also how long its nonce is remembered
GATEWAYS_COUNT: Final = 256  # brokers of one shared log that are shown: a page of them
GATEWAY_FORGET_SECONDS: Final = 120.0  # that a silent one is shown as down; then it was taken away, and nobody misses it
GATEWAY_VECTOR_ENTRIES: Final = 64  # of a longer vector a gateway says nothing: it is shortened soon
LOG_LOOKS_COUNT: Final = 3  # looks at a log that seems shorter than it was, before that is believed: a new leader reads on
LOG_LOOK_SECONDS: Final = 0.5  # between two of them, and between two looks for what others appended, where nobody wakes us
LOG_SEE_SECONDS: Final = 2.0  # between two looks whether an idle log is the one that was read, and was not purged beyond us
LOG_ANSWER_SECONDS: Final = 2.0  # for an answer of the log's servers; then another one is asked
LOG_AGAIN_SECONDS: Final = 0.2  # between two tries: a server that lost its leader has another within some seconds
LOG_PAYLOAD_BYTES: Final = 960 * 1024  # of one record of a shared log: servers take 1 MiB by default, headers included
LOG_PAGE_RECORDS: Final = 256  # read of a shared log at once
LOG_PAGE_BYTES: Final = 4 * 1024 * 1024  # and their size
LOG_OPS: Final = 1_000  # of a shared log, taken as one: no more origins may begin in one batch (PUSH_ORIGINS)
NONCES_COUNT: Final = 100_000  # remembered of one peer: 160 pushes a second over twice the skew; more push older times out
SECRET_BYTES: Final = 32  # least length of the cluster secret: as long as what HMAC-SHA-256 makes of it

# -- ops file ---------------------------------------------------------------------------------------------------
SEGMENT_BYTES: Final = 64 * 1024 * 1024  # of one file: OPEN_SEGMENTS of them hold 4 GiB of history
RECORD_BYTES: Final = 1024 * 1024  # one record: message of 64 KiB escaped six-fold, fields, CRC; a longer line is damage
OP_BYTES: Final = RECORD_BYTES - 64  # of an op's JSON: a record is that and its frame
SEGMENT_HEADER_BYTES: Final = 64 * 1024  # the first line of a segment: a few names, and the lengths of the segments before it
PACK_FILE_BYTES: Final = (
    64 * 1024
)  # of a file of a log that is compressed: a smaller one is a few blocks of the disk either way
PACK_EVERY_SECONDS: Final = 10.0  # between two looks for files of a log that can be compressed; a second of work each
OPEN_SEGMENTS: Final = 64  # segments kept open for reading: 4 GiB of history
READ_BYTES: Final = 1024 * 1024  # read from a segment in one go when records are close together
AHEAD_BYTES: Final = 32 * 1024 * 1024  # of a log that several processes read at a start: a smaller one takes half a second
AHEAD_PROCESSES: Final = 4  # that do: four read as fast as one folds
AHEAD_RESULT_BYTES: Final = 16 * 1024 * 1024  # that each of them has ready: what it read of one segment
SCAN_BYTES: Final = 2 * 1024 * 1024  # of a segment in memory while a start reads it
BACKUP_PART_BYTES: Final = 256 * 1024  # of a segment that is copied at once: a few of them are the memory that a backup takes
BACKUP_PART_SECONDS: Final = 60.0  # that a client of a backup is waited for in all, less what it takes earns back
BACKUP_MANIFEST_BYTES: Final = 4 * 1024 * 1024  # of a backup: a vector of 10,000 entries, and segments of some terabytes
READ_GAP_BYTES: Final = 4096  # between two records that are still read in one go: a page comes from the disk anyway
TAIL_BYTES: Final = 8 * 1024 * 1024  # newest records kept as they were written, for peers: two pushes
TAIL_RECORDS: Final = 40_000  # of them: short ones in as many bytes
FRAME_CACHE_MESSAGES: Final = 10_000  # newest messages kept decoded for streams
FRAME_CACHE_BYTES: Final = 16 * 1024 * 1024
DISK_LOW_BYTES: Final = 112 * 1024 * 1024  # above the reserve, told below it: ten minutes of 1,000 short messages a second
DISK_LOW_SHARE: Final = 0.1  # of the room that a log has and may have, where that is less: else a small disk is always low
DISK_FILLS_DAYS: Final = 7  # told when the disk is full by then: time to get a larger one
SYNC_SLOW_SECONDS: Final = 1.0  # a sync that takes longer is told: publishers wait for it, and time out a little later
SYNC_CALM_SECONDS: Final = 60.0  # without one the disk is not slow any more
DISK_RESERVE_BYTES: Final = 16 * 1024 * 1024  # below this much free space writes are refused (507), cursors and streams go on
MAPPED_BLOCK_BYTES: Final = 1024 * 1024  # blocks of memory from this size on are given back to the system when they are freed

# -- listener ---------------------------------------------------------------------------------------------------
CONNECTIONS_COUNT: Final = 10_000  # requests' connections of one broker; streams have left by hand-over
HEAD_SECONDS: Final = 10.0  # from the first byte of a request to the end of its head
BODY_SECONDS: Final = 30.0  # from the first byte of a request to its last
READ_STALL_SECONDS: Final = 10.0  # a client that takes no byte of its answer
IDLE_SECONDS: Final = 120.0  # a kept-alive connection without a request
PUBLISH_THREADS: Final = 1  # for what the loop does not run itself, as the state lock did not come at once
CHANGE_THREADS: Final = 1  # the same; publishers do not wait behind those who subscribe
CLUSTER_THREADS: Final = 2  # that add and remove brokers: each waits for a broker that perhaps never answers
WAITING_PER_CALLER: Final = 500  # reads of one address that wait for a thread: at 10 ms each, 5 s, when clients have given up
READ_THREADS: Final = 1  # that read messages, topics, subscriptions: work for one processor, which more would only share
OPEN_THREADS: Final = 1  # that answer pages: they wait for nothing, and not behind what reads
LARGE_THREADS: Final = 4  # of requests with a large body: one at a time is parsed, long batches wait for their turn
LARGE_BODY_BYTES: Final = 32 * 1024  # from here on a body takes milliseconds to read
LIGHT_LOCK_SECONDS: Final = 0.001  # that the loop tries to get the state lock: a piece of a commit; then a thread does
SWITCH_SECONDS: Final = 0.0005  # that one thread computes while another wants to: a publish changes threads ten times
PROBE_THREADS: Final = 1  # for those that the loop does not run itself; they wait for nothing
PEER_THREADS: Final = 2  # for pushes that are large, and answers that read ops
LIGHT_BODY_BYTES: Final = (
    64 * 1024
)  # of a push that the loop takes itself: 0.2 ms of reading and checking, 0.5 where it is compressed
LIGHT_IN_FLIGHT_OF_CALLER: Final = 16  # while others ask, too: a round is short for who publishes a message after the other
LIGHT_ROUND_COUNT: Final = 6  # requests that join in when one begins that is asked alone: beside more it takes twice as long
LIGHT_ROUND_SECONDS: Final = 0.02  # after which they begin all the same: what is asked alone may wait for a disk or a peer
LIGHT_NEXT_SECONDS: Final = 0.003  # after an answer, within which the next request is expected: near by it takes 0.3 ms
LIGHT_RECENT_SECONDS: Final = 1.0  # after which somebody who asked counts as one who does not any more
LIGHT_IN_FLIGHT_COUNT: Final = 128  # requests of clients that the loop has begun: a round of them takes the disk no longer
LIGHT_TURN_SECONDS: Final = 0.005  # of clients' views in one turn of the loop: peers and probes wait no longer
LIGHT_RUN_SECONDS: Final = 0.05  # of one view in the loop: more is a fault, which is logged and counted
TURN_CHANNELS: Final = 32  # connections served before the loop asks again which ones are ready: about 3 ms
TURNS_OF_ALL: Final = 8  # in which all that are ready are served, however many: to ask which ones are costs as much for each
ACCEPTS_A_TURN: Final = 64  # connections taken in one go, some 2 ms: with fewer, a storm waits for a turn of views each time
FIRST_A_TURN: Final = 16  # sockets of peers and probes that are served before all others: they may not be all
SENDS_A_TURN: Final = 8  # pieces of an answer, of 64 KiB: who reads 20 MB as fast as it comes holds up nobody
CHUNKS_A_TURN: Final = 200  # of a chunked body, about 0.3 ms
CHUNKS_COUNT: Final = 10_000  # of a chunked body, of any size: a line of a batch in each
CHUNK_LEAST_BYTES: Final = 16  # of a chunk on average, beyond those: the work for one is that for hundreds of bytes
BODIES_BYTES: Final = 128 * 1024 * 1024  # of all clients' requests in memory, whole and half: 16 batches of the largest size
PEER_BODIES_BYTES: Final = 64 * 1024 * 1024  # and of all pushes: the largest of four peers; clients cannot take it
ANSWERS_BYTES: Final = 256 * 1024 * 1024  # of all answers not sent yet: 64 of the largest pages
PEER_CONNECTIONS_COUNT: Final = 2 * PEERS_COUNT  # that never make room for others: one of each peer, and its last one
CONNECTIONS_PER_CALLER: Final = 5_000  # half of all: no address has all of them
REQUESTS_PER_CALLER: Final = 5_000.0  # a second, of one address: more than a broker stores; a load test passes, a flood not
REQUESTS_PER_USER: Final = 500.0  # a second, that read for one user: more than reading has processor for
RATE_BURST_SECONDS: Final = 10.0  # that may come at once: pages that load, programs that start
RATE_CALLERS_COUNT: Final = 65_536  # addresses remembered: in 10 s each is as good as new
LINGER_SECONDS: Final = 2.0  # input is dropped this long after an error: a close with unread input resets, and eats the answer
FAILED_TURNS_COUNT: Final = 10  # of a loop, in a row: one that only fails serves nobody, and the process ends
DEADLINE_CHECK_SECONDS: Final = 1.0  # how often deadlines are looked at, and so how late a client may be cut off
ACCEPT_BACKLOG_COUNT: Final = 4_096  # that wait in the kernel, which keeps no more: who finds no room is late by 1, 3, 7 s
RECEIVE_BYTES: Final = 64 * 1024  # of one read: waitress's 8 KiB cost a batch 1,000 turns of the loop
ANSWER_BUFFER_BYTES: Final = 64 * 1024  # of one piece of an unsent answer, freed when it is sent

# -- streams ----------------------------------------------------------------------------------------------------
STREAMS_PER_USER: Final = 20  # devices and browsers of one person
STREAMS_COUNT: Final = 20_000  # a broker: each is a descriptor, a socket and a queue
STREAM_PAGE_MESSAGES: Final = 256  # read for one stream in one round
SCAN_ROWS: Final = 8_192  # of the log, copied under the state lock (0.05 ms) and looked at beside it
SEND_BUFFER_BYTES: Final = 256 * 1024  # unsent bytes of one stream; beyond it the stream is behind and reads on later
STREAMS_PER_CALLER: Final = 10_000  # half of all: no address has all of them
OWN_DESCRIPTORS_COUNT: Final = 32  # of a broker that does nothing: files, selectors, pipes; it has about 20
CONNECTIONS_LEAST: Final = 32  # of requests, however few descriptors there are: two of each of some peers, probes, publishers
ENDING_STREAMS_COUNT: Final = 16  # beyond the limit of streams: what was said to them last is on its way
STREAMS_BYTES: Final = 256 * 1024 * 1024  # unsent of all streams: beyond it those go that took nothing for READ_STALL_SECONDS
SOCKET_BUFFER_BYTES: Final = 64 * 1024  # SO_SNDBUF: a client that never reads otherwise costs 4 MB of kernel memory
SPREAD_STREAMS: Final = 200  # of a cluster, from which on they are spread over its brokers: fewer are no load for one
MOVE_STREAMS_PER_SECOND: Final = 50.0  # that a broker sends to others: each opens a stream there, 2 ms of a processor
MOVE_SECONDS: Final = 15.0  # in which it would send what it has too many, if it went on as it begins: three heartbeats
MOVE_WAIT_SECONDS: Final = 10.0  # for a stream that was sent to another broker: one that is here still stays
LOAD_EVERY_SECONDS: Final = 0.5  # between two looks at how many streams which broker has
SERVES_EVERY_SECONDS: Final = 1.0  # between two looks of the hub whether the disk hangs
KEEPALIVE_SECONDS: Final = 5.0  # of silence: before proxies and clients give up
STREAM_STALL_SECONDS: Final = 60.0  # without a byte confirmed while some are out: closed
RETRY_MILLISECONDS: Final = 1_000  # told to EventSource at the start: how soon it connects again
RETRY_LATER_MILLISECONDS: Final = 5_000  # told when the answer is "not now"
ACK_EVERY_SECONDS: Final = 2.0  # cursors of `ack=auto` are written about this often, spread over it
ACK_POINTS_COUNT: Final = 16  # pages of a stream that are not known to be confirmed, until the kernel is asked: memory
CONFIRM_ENDING_SECONDS: Final = 0.02  # how often the kernel is asked while a stream that ends waits for its last confirmation
STREAM_ROUND_BYTES: Final = (
    128 * 1024
)  # encoded for one stream in one round: what the kernel takes at once; one frame may exceed it
STREAM_LINGER_SECONDS: Final = 5.0  # an ended stream whose last bytes do not leave: closed
STREAM_INPUT_BYTES: Final = 64 * 1024  # sent by a client on its open stream (read and dropped): beyond it, closed
ROUND_CACHE_BYTES: Final = 16 * 1024 * 1024  # encoded and kept for other streams within one round
ROUND_SECONDS: Final = 0.05  # of one round spent on streams that catch up, while live ones wait
REST_SECONDS: Final = 0.01  # the hub rests after a round no longer than a waiting message is old
ACK_POST_REQUESTS: Final = 1_000  # acknowledgements handed to the engine at once: as many as one op may hold, decided in 2 ms

# -- ops a menu or page waits for -------------------------------------------------------------------------------
BACKOFF_FIRST_SECONDS: Final = 0.1
BACKOFF_MOST_SECONDS: Final = 5.0

# -- client library ---------------------------------------------------------------------------------------------
CLIENT_TRY_SECONDS: Final = 2.8  # first try: a host fell silent, the other takes PUSH_TIMEOUT to see it: 5 s
CLIENT_CONNECT_SECONDS: Final = 2.0  # of a try, to connect: a living host answers in one round trip
CLIENT_BATCH_TRY_SECONDS: Final = 12.0  # one try of a batch: the broker answers "unknown" after RECEIPT_SECONDS
CLIENT_GATHER_MESSAGES: Final = STEP_LINES  # of threads, in one request: a longer batch waits for its turn at the broker
CLIENT_GATHER_BYTES: Final = STEP_BYTES  # and its size, for the same reason; proxies take twice that by default
CLIENT_GATHER_LEAST: Final = 64  # that wait before another request begins: brokers do as much for one as for 64 messages
CLIENT_IN_FLIGHT_COUNT: Final = 3  # requests of one Publisher: one on its way, one stored and copied, one on its way back
CLIENT_LINGER_SECONDS: Final = 0.005  # at most, for the threads that an answer has just woken: 64 of them take 2 ms
CLIENT_LATER_MESSAGES: Final = 10_000  # that nobody waits for and that have no outcome: 40 full requests
CLIENT_LATER_BYTES: Final = 16 * 1024 * 1024  # and their size: two bodies of the largest batches
CLIENT_LOG_RECORDS: Final = 1_000  # of a log handler without an outcome: below what makes a publisher wait
CLIENT_LOG_BYTES: Final = 2 * 1024 * 1024  # and the size of their texts, which JSON may make six times as long
CLIENT_SENDER_IDLE_SECONDS: Final = 0.1  # after which a thread that has nothing to send ends; a program's end waits for it
CLIENT_DEADLINE_SECONDS: Final = 15.0  # all tries of one call: both brokers silent once, and time for one to return
CLIENT_SIDE_SECONDS: Final = 2.0  # a question beside the matter (list of brokers, acknowledgement): it must not hold news up
CLIENT_SILENCE_SECONDS: Final = 3 * KEEPALIVE_SECONDS  # without a byte the stream is dead, whatever TCP believes
CLIENT_ACK_EVERY_SECONDS: Final = 0.5  # acknowledgements of a stream: each is an op on every broker's disk
CLIENT_SEEN_MESSAGES: Final = 10_000  # ids remembered to drop repeats: more than one page a broker sends again
CLIENT_LOOK_AWAY_SECONDS: Final = 5.0  # up to twice as long between looks whether the primary is back
CLIENT_LOOK_HOME_SECONDS: Final = 60.0  # and between looks for new brokers when all is well
CLIENT_STRANGER_SECONDS: Final = 60.0  # back-off of a broker that is only known from others and never answered here
CLIENT_HUNG_SECONDS: Final = 2.0  # rest of a broker that let a request time out: by then its peers know that it is down
CLIENT_ANSWER_BYTES: Final = 64 * 1024 * 1024  # of one answer: more than the longest page with all escaped, no download
CLIENT_BROKERS_COUNT: Final = 64  # addresses kept: more than any cluster has

# -- command line -----------------------------------------------------------------------------------------------
FORWARD_RETRY_SECONDS: Final = 1.0  # of `forward`: after the first try in vain, twice as long after each further one
FORWARD_RETRY_MOST_SECONDS: Final = 60.0  # a mail server that is back is used within a minute
FORWARD_TRIES_COUNT: Final = 8  # before a message is a dead letter: some two minutes
FORWARD_LOOK_SECONDS: Final = 1.0  # between two looks of one that stands by, whether the broker beside it is the primary
FORWARD_PROOF_SECONDS: Final = 0.2  # that a look is good for where messages are handed on: a local question takes 2 ms
LARGE_THREADS_MOST: Final = 1_024  # of --threads: each costs a stack, and beyond it they only wait for the interpreter lock
HEARTBEAT_LEAST_SECONDS: Final = 0.1  # of --heartbeat: below it heartbeats are the load
HEARTBEAT_MOST_SECONDS: Final = 3_600.0  # of --heartbeat: above it a dead broker is not noticed in an hour
CLI_BACKUP_SILENCE_SECONDS: Final = 60.0  # between two parts of a backup: a disk that is busy with more than that
CLI_CALL_SECONDS: Final = 15.0  # all tries of a command: one broker hangs, the other waits RECEIPT_SECONDS for it and answers
CLI_TIMEOUT_MOST_SECONDS: Final = 86_400.0  # of --timeout: a day
CLI_LABEL_CHARS: Final = 64  # of the name that `newswire login` gives a token: long enough for a machine's
CLI_PASSWORD_BYTES: Final = 4 * 1024  # of a line that holds a password: more than any that a broker takes
LOGIN_DAYS: Final = 90  # that `newswire login` lasts: a lost laptop is signed out in a season
LOGIN_DAYS_MOST: Final = 3_650
CLI_ABSENT_SECONDS: Final = 2.0  # a command whose brokers all refuse connections: as long as one takes to start again
VIEWING_END_SECONDS: Final = 5.0  # how long a menu waits for the thread of a stream that it ended
START_SECONDS: Final = 30.0  # how long a menu waits for a broker that it started
MENU_CHANGE_SECONDS: Final = RECEIPT_SECONDS + 2.0  # and for the answer about a replica, which waits for a receipt
LOSS_SETTLE_SECONDS: Final = 1.5  # after something was given up, until brokers have told each other what is missing still
MENU_STOP_SECONDS: Final = 20.0  # and for one that it asked to stop
STOP_SECONDS: Final = 15.0  # that a part of a broker may take to stop in order
CLOCK_NOTE_SECONDS: Final = 2.0  # by which a broker's clock may differ from this machine's before `status` says so
STATUS_EVERY_SECONDS: Final = 2.0  # of `status --watch`
MENU_TRY_SECONDS: Final = 0.9  # a menu's first question to a broker, which answers in milliseconds: then the next is asked
MENU_QUIET_SECONDS: Final = 1.0  # and how long a menu waits for an answer before it says that there is none yet
TERMINAL_LINE_BYTES: Final = 4_095  # of a line typed at a terminal: the kernel drops what is longer (termios, N_TTY)
SETTLE_SECONDS: Final = 1.0  # of silence before a menu without a keyboard leaves a stream
