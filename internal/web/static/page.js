"use strict";

// fanmill ui opens login#CODE. The code leaves the address at once, and is exchanged for a cookie.
(() => {
  const form = document.getElementById("login");
  if (!form || location.hash.length < 2) return;
  document.getElementById("code").value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  form.submit();
})();
