// What the theme leaves out for those who read by keyboard or by ear: a heading's level, a name of the sidebar, code that can be scrolled.
for (const caption of document.querySelectorAll(".caption[role=heading]")) caption.ariaLevel = "2";
for (const aside of document.querySelectorAll("aside.sidebar-drawer")) aside.ariaLabel = "Pages";
for (const pre of document.querySelectorAll("pre")) pre.tabIndex = 0;
