// Server-Sent Events (HTML standard, 9.2), read from text. Pure.

/** Takes text as it comes, in pieces cut anywhere; gives the events and comments that are complete. */
export class EventReader {
  lastEventId = ""; retry = null;
  #rest = ""; #skipNewline = false; #name = ""; #data = [];

  feed(text) {
    if (this.#skipNewline && text.startsWith("\n")) text = text.slice(1);
    else if (text === "") return [];
    this.#skipNewline = text === "" ? false : text.endsWith("\r");   // perhaps half of a CRLF
    const lines = text.split(/\r\n|\n|\r/);
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop();
    return lines.map((line) => this.#take(line)).filter(Boolean);
  }

  #take(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "") return { comment: value };
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#name = value;
    else if (field === "id" && !value.includes("\0")) this.lastEventId = value;
    else if (field === "retry" && /^[0-9]{1,12}$/.test(value)) this.retry = Number(value);
    return null;
  }

  #dispatch() {
    const event = { name: this.#name || "message", id: this.lastEventId, data: this.#data.join("\n") };
    const empty = this.#data.length === 0;
    this.#name = ""; this.#data = [];
    return empty ? null : event;
  }
}
