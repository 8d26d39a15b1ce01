// What is wrong with a name, beside its field, and a button that puts one that would do there.

/** Says `fault` (of names.js; null: nothing is wrong) in `said` and offers its other name by `offer`, both beside `field`. */
export function showFault(field, said, offer, fault) {
  said.classList.toggle("bad", fault !== null);
  if (fault) {
    said.textContent = fault.why;
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", said.id);
  } else if (field.hasAttribute("aria-invalid")) {
    said.textContent = "";
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
  offer.hidden = !fault?.instead;
  offer.textContent = fault?.instead ? `Use ${fault.instead}` : "";
  offer.dataset.name = fault?.instead ?? "";
}

/** Wire it up: pressing `offer` takes the name; typing makes what was said go away. */
export function wireFault(field, said, offer, taken = () => field.focus()) {
  offer.addEventListener("click", () => {
    field.value = offer.dataset.name;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    taken();
  });
  field.addEventListener("input", () => { if (field.hasAttribute("aria-invalid")) showFault(field, said, offer, null); });
}
