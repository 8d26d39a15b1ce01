// Addresses in a text. Pure: gives pieces, `{ text }` or `{ text, href }`, that joined are the text again.

const ADDRESS_CHARS = 2_048;
// begins where no word goes on; ends at white space, quotes, angle brackets, CJK punctuation, and signs that no one sees
const ADDRESS = /(?<![A-Za-z0-9+.-])https?:\/\/[^\s<>"“”„«»‹›`\\^{|}\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\p{Cc}\p{Cf}]+/giu;
const ENDS = /[.,;:!?'‘’*_~…]/u;

export function linkPieces(text) {
  const pieces = [];
  let from = 0;
  for (const found of text.matchAll(ADDRESS)) {
    const address = withoutEnd(found[0]);
    if (!address) continue;
    if (found.index > from) pieces.push({ text: text.slice(from, found.index) });
    pieces.push({ text: address, href: address });
    from = found.index + address.length;
  }
  if (from < text.length) pieces.push({ text: text.slice(from) });
  return pieces;
}

/** Whether `address` may be a link: http or https, a host, and no name before it that could be taken for the host. */
export function isAddress(address) {
  if (!/^https?:\/\/[^/?#]/i.test(address) || address.length > ADDRESS_CHARS) return false;
  try {
    const { protocol, hostname, username, password } = new URL(address);
    return /^https?:$/.test(protocol) && hostname !== "" && username === "" && password === "";
  } catch { return false; }
}

/** The address without what belongs to the sentence around it: its punctuation, and brackets that open before it. */
function withoutEnd(address) {
  if (address.length > 2 * ADDRESS_CHARS) return "";
  const open = { ")": excess(address, "(", ")"), "]": excess(address, "[", "]") };
  let end = address.length;
  for (; end > 0; end--) {
    const last = address[end - 1];
    if (open[last] > 0) open[last]--;
    else if (!ENDS.test(last)) break;
  }
  const kept = address.slice(0, end);
  return isAddress(kept) ? kept : "";
}

const count = (text, sign) => text.split(sign).length - 1;
const excess = (text, opening, closing) => count(text, closing) - count(text, opening);

/** The pieces of the first `most` characters; an address that goes beyond them is left out whole, never cut. */
export function firstPieces(text, most) {
  const pieces = [];
  let left = most;
  for (const piece of linkPieces(text.slice(0, most + ADDRESS_CHARS + 1))) {
    if (piece.text.length <= left) pieces.push(piece);
    else if (!piece.href) pieces.push({ text: piece.text.slice(0, left).replace(/[\uD800-\uDBFF]$/, "") });
    left -= piece.text.length;
    if (left <= 0) break;
  }
  return pieces;
}
