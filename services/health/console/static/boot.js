// Runs before the page is drawn, so that a chosen theme does not flash in.
(() => {
  const theme = localStorage.getItem("lepton.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
})();
