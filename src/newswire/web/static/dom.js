// Small helpers around the document.

export const $ = (id) => document.getElementById(id);
export const visible = () => document.visibilityState === "visible";
export const narrow = () => matchMedia("(max-width: 700px)").matches;
export const plural = (n, one, many = `${one}s`) => `${n.toLocaleString()} ${n === 1 ? one : many}`;
const twelve = new Intl.DateTimeFormat(undefined, { hour: "numeric" }).resolvedOptions().hour12 === true;
export const hasTwelveHours = () => twelve;   // whether the reader's clock says AM and PM: such times are longer
export const clock = (when) => when.toLocaleTimeString(undefined, { hour: twelve ? "numeric" : "2-digit", minute: "2-digit" });
export const dayOf = (when) => when.toLocaleDateString(undefined, { day: "numeric", month: "long" });


export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function button(className, text, pressed) {
  const made = element("button", className, text);
  made.type = "button";
  if (pressed) made.addEventListener("click", pressed);
  return made;
}

export function link(href) {
  const made = element("a", "", href);
  made.setAttribute("href", href);
  Object.assign(made, { rel: "noopener noreferrer", target: "_blank" });
  return made;
}
