// Keys: a table of what each does. Fields, buttons and dialogs keep the keys that are theirs.

const FIELDS = "input, select, textarea, [contenteditable]";
const OWN = {
  // What an element does itself with a key, and the page must leave to it.
  "button, a[href]": new Set(["Enter", " "]),
  "select, .runs, #d-message": new Set(["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End"]),
};

export function bindKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open], [popover]:popover-open")) return;
    const { target, key } = event;
    if (target.matches?.(FIELDS) && target.type !== "checkbox") {
      // Out of a field, back to the lines.
      if (key === "Escape" || (key === "Enter" && target.id === "text")) document.getElementById("lines").focus();
      return;
    }
    for (const [selector, keys] of Object.entries(OWN)) if (keys.has(key) && target.closest?.(selector)) return;
    const action = actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
