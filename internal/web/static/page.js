"use strict";

// fanmill ui opens login#CODE. The code leaves the address at once, and is exchanged for a cookie.
(() => {
  const form = document.getElementById("login");
  if (!form || location.hash.length < 2) return;
  document.getElementById("code").value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  form.submit();
})();

// Times that go on: the page has when they began.
const ticking = (() => {
  const text = (ms) => {
    const s = Math.max(0, Math.floor(ms / 1000)), m = Math.floor(s / 60), h = Math.floor(m / 60);
    const two = (n) => String(n).padStart(2, "0");
    return h ? `${h}h${two(m % 60)}m` : m ? `${m}m${two(s % 60)}s` : `${s}s`;
  };
  const tick = () => {
    for (const e of document.querySelectorAll("[data-since]")) {
      if (e === document.body) continue;
      const now = text(Date.now() - Date.parse(e.dataset.since));
      if (e.textContent !== now) e.textContent = now;
    }
  };
  tick();
  setInterval(() => { if (!document.hidden) tick(); }, 1000);
  return tick;
})();

// A long list of connections is searched here.
const find = (() => {
  const text = document.getElementById("find"), only = document.getElementById("only"), found = document.getElementById("found");
  if (!text) return () => {};
  for (const e of document.querySelectorAll(".needs-js")) e.hidden = false;
  const apply = () => {
    const want = text.value.trim().toLowerCase(), state = only.value;
    let shown = 0, all = 0;
    for (const row of document.querySelectorAll("#connections > tbody")) {
      const ok = row.dataset.name.toLowerCase().includes(want) && (!state || row.dataset.state === state);
      if (row.hidden === ok) row.hidden = !ok;
      all++;
      if (ok) shown++;
    }
    found.textContent = want || state ? `${shown} of ${all}` : "";
  };
  text.addEventListener("input", apply);
  only.addEventListener("change", apply);
  return apply;
})();

// What changes comes as parts of the page, by id; the server has escaped what is data in them. A part is never
// replaced by an older one, and what a person has opened stays open.
(() => {
  const topic = document.body.dataset.topic, live = document.getElementById("live");
  if (!topic || !window.EventSource) return;
  const root = document.body.dataset.root;
  let mark = document.body.dataset.since, source = null, broken = 0;
  const made = (html) => {
    const t = document.createElement("template");
    t.innerHTML = html;
    return t.content.firstElementChild;
  };
  const say = (text) => { if (live.textContent !== text) live.textContent = text; };
  const keep = (was, now) => {
    const open = [...was.querySelectorAll("details")].map((d) => d.open);
    [...now.querySelectorAll("details")].forEach((d, i) => { if (i < open.length) d.open = open[i]; });
    const tails = was.querySelector(".tail"), tail = now.querySelector(".tail");
    const at = tails && tails.scrollTop + tails.clientHeight < tails.scrollHeight - 4 ? tails.scrollTop : -1;
    const focused = was.contains(document.activeElement) ? [...was.querySelectorAll("a, button, summary, [tabindex]")].indexOf(document.activeElement) : -1;
    was.replaceWith(now);
    if (tail) tail.scrollTop = at < 0 ? tail.scrollHeight : at;
    if (focused >= 0) [...now.querySelectorAll("a, button, summary, [tabindex]")][focused]?.focus({preventScroll: true});
  };
  const take = (message) => {
    const parts = message.parts || {};
    const fresh = {};
    for (const [id, html] of Object.entries(parts)) {
      const now = made(html), was = document.getElementById(id);
      if (!now) continue;
      if (was) keep(was, now); else fresh[id] = now;
    }
    for (const [id, ids] of Object.entries(message.lists || {})) {
      const box = document.getElementById(id);
      if (!box) continue;
      const heads = [...box.children].filter((e) => !e.id).length;
      ids.forEach((one, i) => {
        const e = document.getElementById(one) || fresh[one];
        if (e && box.children[heads + i] !== e) { e.classList.add("fresh"); box.insertBefore(e, box.children[heads + i] || null); }
      });
      const wanted = new Set(ids);
      for (const e of [...box.children]) if (e.id && !wanted.has(e.id)) e.remove();
      const empty = box.closest("[hidden]");
      if (ids.length && empty) { // there was nothing to show yet
        empty.hidden = false;
        document.querySelector(".empty")?.remove();
      }
    }
    ticking();
    find();
  };
  const anew = () => {
    // At most once in five seconds, should the server forget what it has just said.
    const last = Number(sessionStorage.getItem("anew") || 0);
    if (Date.now() - last < 5000) { setTimeout(anew, 5000); return; }
    sessionStorage.setItem("anew", Date.now());
    if (document.activeElement && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName) && document.activeElement.value) {
      say("changed; load the page anew");
      return;
    }
    location.reload();
  };
  const close = () => { if (source) source.close(); source = null; };
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(`${root}events?topic=${encodeURIComponent(topic)}&since=${encodeURIComponent(mark)}`);
    source.onopen = () => { broken = 0; say("live"); };
    source.addEventListener("parts", (e) => { mark = e.lastEventId; take(JSON.parse(e.data)); });
    source.addEventListener("trouble", (e) => say(e.data || "live"));
    source.addEventListener("reset", () => { close(); anew(); });
    source.onerror = () => {
      say("not live: fanmill does not answer");
      if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
      close();
      setTimeout(open, Math.min(30000, 3000 * ++broken));
    };
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  const tail = document.querySelector(".tail");
  if (tail) tail.scrollTop = tail.scrollHeight;
  open();
})();
