// The account of whoever is signed in: rights, password, tokens.

import { inWords, page, rightsIn, send, tell, wireForm } from "./access.js";
import { $, element } from "./dom.js";
import { showTokens } from "./tokens.js";

async function showRights() {
  const place = $("rights");
  try {
    const me = await send("GET", "/me");
    if (me.admin) return place.replaceChildren(element("p", "", "You are an admin: you may read and publish everything, and add users."));
    const list = element("dl", "pairs");
    for (const [words, topics] of rightsIn(me.grants)) {
      list.append(element("dt", "", words), element("dd", topics.length ? "" : "soft", (topics.includes(">") ? [">"] : topics).map(inWords).join(", ") || "nothing yet: an admin can grant it"));
    }
    place.replaceChildren(list);
  } catch (error) { place.replaceChildren(element("p", "bad", error.message)); }
}

wireForm($("password"), async ({ password, again }) => {
  if (password.value !== again.value) {
    again.focus();
    throw new Error("The two are not the same.");
  }
  await send("POST", `/users/${encodeURIComponent(page.username)}/password`, { password: password.value });
  $("password").reset();
  return "Your password is changed.";
});
$("password").addEventListener("input", () => tell($("password").querySelector(".why"), ""));

showRights();
showTokens($("tokens"), page.username);
