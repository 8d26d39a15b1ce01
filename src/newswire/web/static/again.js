// Loads a page again of which a module did not come: its broker died meanwhile, or the network changed. No module itself, so it is
// there before they are. A few times in a row, each a second later than the last; then it says so.

{
  const MOST = 5;
  const KEY = "newswire-loads";
  let failed = false;

  const read = () => { try { return Number(sessionStorage.getItem(KEY)) || 0; } catch { return MOST; } };
  const write = (count) => { try { sessionStorage.setItem(KEY, String(count)); } catch { /* nothing may be kept here */ } };
  const say = (words) => { const state = document.getElementById("state"); if (state) state.textContent = words; };

  addEventListener("error", ({ target }) => {
    if (failed || !(target instanceof HTMLScriptElement) || target.type !== "module") return;
    failed = true;
    const count = read() + 1;
    write(count);
    if (count > MOST) say("the page did not load: reload it");
    else setTimeout(() => location.reload(), count * 1000);
  }, true);
  addEventListener("load", () => { if (!failed) write(0); });
}
