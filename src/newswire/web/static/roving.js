// A list of buttons that is one Tab stop: arrow keys, Home and End move in it, and so does typing how a name begins.

const TYPED_MS = 800;            // typing after a longer pause begins a new name

/** Gives `node` the focus, and brings it into view within what scrolls around it; the page itself stays where it is. */
export function focusIn(node) {
  node.focus({ preventScroll: true });
  let box = node.parentElement;
  while (box && !(box.scrollHeight > box.clientHeight && /auto|scroll/.test(getComputedStyle(box).overflowY))) box = box.parentElement;
  if (!box || box === document.documentElement) return;
  const { top, bottom } = node.getBoundingClientRect(), around = box.getBoundingClientRect();
  const below = bottom - around.bottom + (parseFloat(getComputedStyle(box).scrollPaddingBottom) || 0);
  if (top < around.top) box.scrollTop -= around.top - top;
  else if (below > 0) box.scrollTop += below;
}

/** Makes a list (`ul`) with the buttons that `selector` finds such a Tab stop. Gives a function to call when it has changed. */
export function rove(list, selector) {
  let typed = "", typedAt = 0;
  const all = () => [...list.querySelectorAll(selector)];

  function settle(to) {
    const buttons = all();
    const stop = to ?? buttons.find((one) => one === document.activeElement)
      ?? buttons.find((one) => one.getAttribute("aria-current") === "true") ?? buttons.find((one) => one.tabIndex === 0) ?? buttons[0];
    for (const one of buttons) {
      const wanted = one === stop ? 0 : -1;
      if (one.tabIndex !== wanted || !one.hasAttribute("tabindex")) one.tabIndex = wanted;
    }
  }

  function target(event, buttons) {
    const here = buttons.indexOf(document.activeElement);
    if (event.key === "ArrowDown" || event.key === "ArrowRight") return buttons[Math.min(here + 1, buttons.length - 1)];
    if (event.key === "ArrowUp" || event.key === "ArrowLeft") return buttons[Math.max(here - 1, 0)];
    if (event.key === "Home") return buttons[0];
    if (event.key === "End") return buttons.at(-1);
    if (event.key.length !== 1 || event.key === " ") return null;
    typed = event.timeStamp - typedAt < TYPED_MS ? typed + event.key.toLowerCase() : event.key.toLowerCase();
    typedAt = event.timeStamp;
    const from = typed.length > 1 ? here : here + 1;          // more of a name stays where it fits
    const order = [...buttons.slice(from), ...buttons.slice(0, from)];
    return order.find((one) => one.textContent.toLowerCase().startsWith(typed)) ?? null;
  }

  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !event.target.matches(selector)) return;
    const to = target(event, all());
    if (!to) return;
    event.preventDefault();
    settle(to);
    focusIn(to);
  });
  list.addEventListener("focusin", (event) => { if (event.target.matches(selector)) settle(event.target); });
  return () => settle();
}
