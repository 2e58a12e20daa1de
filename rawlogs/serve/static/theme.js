// Before anything is painted: the theme that was chosen here last, if any; else the system's holds.
try {
  const theme = localStorage.getItem("rawlogs-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's theme it is.
}
