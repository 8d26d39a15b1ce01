// The page that asks for a name says what is wrong with one before it is sent.

import { showFault, wireFault } from "./fault.js";
import { lastWord } from "./last_word.js";
import { usernameFault } from "./names.js";

const field = document.getElementById("name"), said = document.getElementById("notice"), offer = document.getElementById("offer");

function check() {
  const fault = usernameFault(field.value.trim());
  showFault(field, said, offer, fault);
  return fault;
}

wireFault(field, said, offer);
if (field.value) check();        // the broker has refused it already
else if ((field.value = lastWord().user)) field.select();
field.form.addEventListener("submit", (event) => {
  field.value = field.value.trim();
  if (!check()) return;
  event.preventDefault();
  field.focus();
});
