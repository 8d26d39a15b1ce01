"""What `scripts/bench` is made of: services under measurement, the load on them, and a row of the table for each question.

- machine   cores, what processes used of them, and what machine this is
- load      processes that make the load, and what they say about it
- talk      what is said on a connection: requests, answers, streams
- services  newswire, of this checkout or another one, started and ended
- peers     Redis, NATS and nchan, where they are installed, with the promises that newswire makes
- clients   what runs the client library: a program of its own, with the library of a checkout
- rows      what is measured, a function each
- report    medians of rounds, as a table and as JSON
"""
