// The panel's script. Pages work without it; it adds local times, copying, keys, a live log and checks while one types.
"use strict";
(() => {
  const $ = (selector, root) => (root || document).querySelector(selector);
  const $$ = (selector, root) => [...(root || document).querySelectorAll(selector)];
  const root = document.documentElement.dataset.root;
  const csrf = () => ($('meta[name="csrf"]') || {}).content || "";

  // Local time, with exact UTC on hover.
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
  const far = (at) => Math.abs(at - Date.now()) > 183 * 24 * 60 * 60 * 1000; // then the year is said
  const localize = (root) => $$("time[datetime]", root).forEach((t) => {
    const at = new Date(t.dateTime);
    if (!isNaN(at)) t.textContent = `${(far(at) ? dayOfYear : day).format(at)} ${clock.format(at)}`;
  });
  const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const localizeCharts = (root) => {
    $$(".chart [data-at]", root).forEach((t) => {
      const at = new Date(t.dataset.at);
      t.textContent = at.getHours() || at.getMinutes() ? hour.format(at) : day.format(at);
    });
    $$(".chart .utc", root).forEach((t) => t.remove());
  };

  // Copying.
  const say = (text) => { const box = $("#status"); if (box) box.textContent = text; };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const from = document.getElementById(button.dataset.copy);
    if (!from) return;
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(from.textContent);
      button.textContent = "Copied";
      say("Copied.");
    } catch {
      getSelection().selectAllChildren(from); // the clipboard needs https or localhost
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { button.textContent = label; }, 1600);
  });

  // Menus close with Escape and with a click elsewhere.
  const closeMenus = (except) => $$("details.drop[open], details.menu[open]").forEach((d) => { if (d !== except && !d.contains(except)) d.open = false; });
  document.addEventListener("click", (event) => closeMenus(event.target));

  // A form is sent once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.getAttribute("method") !== "post") { // a field of that name is in the place of the property
      $$("input, select", form).forEach((i) => { if (i.value === "" && i.name) i.disabled = true; }); // short links
      setTimeout(() => $$("input, select", form).forEach((i) => { i.disabled = false; }));
      return;
    }
    const size = new URLSearchParams(new FormData(form)).toString().length, most = Number(document.documentElement.dataset.most);
    if (size > most) { // the server would refuse it, and what was typed would be gone
      event.preventDefault();
      const note = $("[data-large]", form) || document.createElement("div");
      note.className = "note bad";
      note.dataset.large = "";
      note.setAttribute("role", "alert");
      note.textContent = `This form is ${Math.ceil(size / 1024)} KiB, and may be ${most / 1024} KiB. Nothing was sent: make it shorter.`;
      form.prepend(note);
      note.scrollIntoView({ block: "nearest" });
      return;
    }
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    $$("button", form).forEach((b) => b.setAttribute("aria-busy", "true"));
  });
  addEventListener("pageshow", () => $$("form").forEach((f) => { delete f.dataset.sent; }));

  // Light or dark.
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-theme-form]");
    if (!form) return;
    event.preventDefault();
    delete form.dataset.sent;
    const look = document.documentElement.dataset;
    const dark = look.theme ? look.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    look.theme = dark ? "light" : "dark";
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `tailpost_theme=${look.theme}; Path=${root}; Max-Age=31536000; SameSite=Strict${secure}`;
  });

  // What was just done is said once; the link stays clean.
  const here = new URL(location.href);
  if (here.searchParams.has("done") || here.searchParams.has("opened")) { here.searchParams.delete("done"); here.searchParams.delete("opened"); history.replaceState(history.state, "", here); }
  const away = $("[data-replace]");
  if (away) history.replaceState(history.state, "", away.dataset.replace); // a page with a secret is not to be loaded again

  // Keys.
  let row = -1;
  const rows = () => $$("[data-rows] > tr").filter((r) => r.offsetParent !== null);
  const move = (by) => {
    const all = rows();
    if (!all.length) return;
    row = Math.max(0, Math.min(all.length - 1, row + by));
    all.forEach((r, i) => r.classList.toggle("cur", i === row));
    const link = $("a", all[row]);
    if (link) link.focus({ preventScroll: true });
    all[row].scrollIntoView({ block: "nearest" });
  };
  const typing = (t) => t.closest("input:not([type=checkbox]), textarea, select, dialog");
  const places = { o: "", e: "endpoints", l: "log", u: "undelivered", v: "events", r: "relay", c: "catalogue" };
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      const open = $("details.drop[open], details.menu[open]");
      if (open) { open.open = false; $("summary", open).focus(); } else if (typing(event.target)) event.target.blur();
      return;
    }
    if (typing(event.target)) return;
    const near = (rel) => { const a = $(`a[rel="${rel}"]`); if (a) a.click(); };
    if (Date.now() - going < 1200 && event.key in places) {
      const to = root + places[event.key];
      if ($(`.nav a[href="${to}"]`)) location.href = to;
      return;
    }
    switch (event.key) {
      case "/": { const box = $$("[data-search]").find((i) => i.offsetParent !== null); if (box) { event.preventDefault(); box.focus(); box.select(); } break; }
      case "?": { const help = $("#help"); if (help) help.showModal(); break; }
      case "j": move(1); break;
      case "k": move(-1); break;
      case "x": { const box = rows()[row] && $("input[type=checkbox]", rows()[row]); if (box) box.click(); break; }
      case "[": near("prev"); break;
      case "]": near("next"); break;
      case "g": going = Date.now(); break;
      case "p": { const pause = $("[data-pause]"); if (pause) pause.click(); break; }
    }
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-help]")) { event.preventDefault(); $("#help").showModal(); } });

  // Select all of a page.
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-all]")) return;
    $$("[data-rows] input[type=checkbox]").forEach((b) => { b.checked = event.target.checked; });
  });

  // A part of a page that changes by itself.
  $$("[data-refresh]").forEach((part) => {
    const again = async () => {
      const read = () => $("details[open]", part); // somebody reads what is open
      if (!document.hidden && !read()) {
        try {
          const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Refresh": "1" } });
          if (answer.redirected) { location.reload(); return; } // the session is over
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
          if (answer.ok && fresh && !read()) {
            const at = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
            part.replaceChildren(...fresh.childNodes);
            const same = at && $$("a", part).find((a) => a.getAttribute("href") === at);
            if (same) same.focus({ preventScroll: true });
            if (row >= 0) rows().forEach((r, i) => r.classList.toggle("cur", i === row));
            localize(part);
            localizeCharts(part);
            if (!fresh.dataset.refresh) return;
          }
        } catch { /* the server is away; the next look finds it */ }
      }
      setTimeout(again, Number(part.dataset.refresh));
    };
    setTimeout(again, Number(part.dataset.refresh));
  });

  // The live log.
  const tail = $("[data-tail]");
  if (tail && window.EventSource) {
    const state = $("[data-tail-state]"), pause = $("[data-pause]");
    const most = 200;
    let paused = false, source, held = [], seen = "", cut = "full" in tail.dataset;
    const put = (html) => {
      const made = document.createElement("template");
      made.innerHTML = html; // rendered, and escaped, by the server
      const fresh = made.content.querySelector("tr");
      if (!fresh || (fresh.id && document.getElementById(fresh.id))) return;
      const empty = $("#log-empty");
      if (empty) { empty.hidden = true; $("#log-table").hidden = false; }
      // Newest first, whenever it arrives: a slow attempt is recorded after one that began later.
      const next = [...tail.children].find((r) => r.dataset.at <= fresh.dataset.at) || null;
      if (!next && cut && tail.children.length) return; // it belongs to an older page
      fresh.classList.add("new");
      localize(fresh);
      tail.insertBefore(fresh, next);
      if (row >= 0 && rows().indexOf(fresh) <= row) row++;
      while (tail.children.length > most) { tail.lastElementChild.remove(); cut = true; }
    };
    // A stream that is refused may be one of a session that is over: the page leads to another one.
    const over = async () => {
      const answer = await fetch(location.href, { headers: { "X-Refresh": "1" } });
      if (answer.redirected || answer.status === 401) location.reload();
    };
    const show = (text, off) => { state.textContent = text; state.classList.toggle("paused", off); };
    // What a transaction brought to light behind the place where the stream began.
    const catchUp = async () => {
      const answer = await fetch(location.href, { headers: { "X-Refresh": "1" } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      $$("[data-tail] > tr", page).reverse().forEach((r) => put(r.outerHTML));
    };
    const listen = () => {
      const from = new URL(tail.dataset.tail, location.href);
      if (seen) from.searchParams.set("after", seen);
      source = new EventSource(from);
      source.addEventListener("seen", (event) => { seen = event.lastEventId; });
      source.onopen = () => { if (!paused) { show("Live", false); catchUp().catch(() => {}); } };
      source.onerror = () => {
        if (!paused) show("Connecting…", true);
        if (source.readyState !== EventSource.CLOSED) return;
        over().catch(() => {}); // the server is away
        setTimeout(listen, 5000);
      };
      source.addEventListener("row", (event) => {
        if (!paused) { put(event.data); return; }
        held.push(event.data);
        if (held.length > most) held.shift();
        show(`Paused, ${held.length} new`, true);
      });
      source.addEventListener("skipped", (event) => say(`${JSON.parse(event.data).skipped} attempts were left out: more arrive than can be shown.`));
    };
    state.hidden = pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.textContent = paused ? "Resume" : "Pause";
      pause.setAttribute("aria-pressed", String(paused));
      if (paused) { show("Paused", true); return; }
      held.forEach(put);
      held = [];
      show("Live", false);
    });
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
    listen();
  }

  // Views of one's own: filters with a name, kept by this browser.
  const tabs = $("[data-views]");
  if (tabs) {
    const key = "tailpost-views" + location.pathname;
    const read = () => { try { return JSON.parse(localStorage.getItem(key)) || []; } catch { return []; } };
    const query = () => { const q = new URLSearchParams(location.search); q.delete("cursor"); return q.toString(); };
    const draw = () => {
      $$("[data-own]", tabs).forEach((e) => e.remove());
      const mine = read(), now = query();
      const own = mine.findIndex((w) => w.query === now);
      mine.forEach((w) => {
        const link = document.createElement("a");
        link.dataset.own = "";
        link.href = location.pathname + (w.query ? "?" + w.query : "");
        link.textContent = w.name;
        if (w.query === now) link.setAttribute("aria-current", "page");
        tabs.append(link);
      });
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.own = "";
      button.className = "btn plain small";
      if (own >= 0) button.textContent = "Forget this view";
      else if (now && !$("[aria-current]", tabs)) button.textContent = "Save this view";
      else return;
      button.addEventListener("click", () => {
        if (own >= 0) mine.splice(own, 1);
        else {
          const name = prompt("Name of the view");
          if (!name) return;
          mine.push({ name: name.slice(0, 60), query: now });
        }
        localStorage.setItem(key, JSON.stringify(mine));
        draw();
      });
      tabs.append(button);
    };
    draw();
  }

  // Expressions are checked as one types, by the compiler that will use them.
  $$("[data-check]").forEach((form) => {
    let timer, last;
    const check = async () => {
      const data = new URLSearchParams(new FormData(form));
      last = data.toString();
      const sent = last;
      const answer = await fetch(form.dataset.check, { method: "POST", headers: { "X-CSRF-Token": csrf(), "Content-Type": "application/x-www-form-urlencoded" }, body: data });
      if (!answer.ok || sent !== last) return;
      const found = await answer.json();
      for (const name of ["where", "body"]) {
        const box = $(`[data-verdict="${name}"]`, form);
        if (!box) continue;
        box.textContent = found[name] ? found[name].text : "";
        box.className = found[name] && found[name].wrong ? "wrong" : "right";
      }
    };
    form.addEventListener("input", (event) => {
      if (!event.target.matches("[data-expression]")) return;
      clearTimeout(timer);
      timer = setTimeout(check, 250);
    });
  });

  // What was counted is what the form said then: a change takes the count and the button that follows it away.
  $$("form[data-counted]").forEach((form) => form.addEventListener("input", () => {
    $$("[data-count]", form).forEach((part) => part.remove());
    $('button[value="count"]', form).classList.add("primary");
  }));

  // A type of the catalogue is added with a click.
  document.addEventListener("click", (event) => {
    const pick = event.target.closest("[data-pick]");
    if (!pick) return;
    event.preventDefault();
    const box = document.getElementById(pick.dataset.into);
    const types = box.value.split(/[\s,]+/).filter(Boolean);
    if (!types.includes(pick.dataset.pick)) types.push(pick.dataset.pick);
    box.value = types.join("\n");
    box.dispatchEvent(new Event("input", { bubbles: true }));
  });

  localize(document);
  localizeCharts(document);
})();
