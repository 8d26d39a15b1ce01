// Waiting, and not waiting any longer.

const waiting = new Set();

/** Wait, or until `hurry`, or until `signal` says that there is nothing to wait for. */
export function pause(ms, signal) {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      waiting.delete(end);
      signal?.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, signal?.aborted ? 0 : Math.max(0, ms));
    signal?.addEventListener("abort", end);
    waiting.add(end);
  });
}

/** The network or the person is back: whoever waits for a next try tries now. */
export function hurry() {
  for (const end of [...waiting]) end();
}
