"use strict";

// Keeps the figures up to date without taking anybody's focus or edit away, and sends changes of budgets.
(() => {
  const headers = { "X-XSRFToken": document.body.dataset.xsrf, Accept: "text/html" };
  const every = Number(document.body.dataset.refreshS) * 1000;
  const trouble = document.getElementById("trouble");
  const served = new WeakMap(); // What the server said last: the page itself may have changed since (a filter, a chart).
  let timer = 0;
  let asking = null;

  const live = (root) => [...root.querySelectorAll("[data-live]")];
  live(document).forEach((part) => served.set(part, part.innerHTML));

  const tell = (words) => {
    if (trouble.textContent !== words) {
      trouble.textContent = words;
    }
    trouble.hidden = !words;
  };

  const edited = (form) =>
    form.contains(document.activeElement) ||
    [...form.querySelectorAll("input:not([type=hidden])")].some((input) => input.value !== input.defaultValue);

  const takeFields = (form, fresh) => {
    if (edited(form)) {
      return;
    }
    for (const input of form.querySelectorAll("input:not([type=hidden])")) {
      const value = fresh.querySelector(`[name="${input.name}"]`).defaultValue;
      input.defaultValue = value;
      input.value = value;
    }
  };

  const takeLists = (page) => {
    for (const list of document.querySelectorAll("[data-live-list]")) {
      const fresh = page.querySelector(`[data-live-list="${list.dataset.liveList}"]`);
      const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
      for (const child of [...fresh.children]) {
        const own = known.get(child.dataset.key);
        known.delete(child.dataset.key);
        if (own) {
          takeFields(own, child);
        } else {
          const added = document.importNode(child, true);
          list.append(added);
          live(added).forEach((part) => served.set(part, part.innerHTML));
        }
      }
      for (const gone of known.values()) {
        if (!edited(gone)) {
          gone.remove();
        }
      }
    }
  };

  const take = (page) => {
    takeLists(page);
    const fresh = new Map(live(page).map((part) => [part.dataset.live, part]));
    for (const part of live(document)) {
      const now = fresh.get(part.dataset.live)?.innerHTML;
      // What somebody is in stays as it is until they leave it.
      const held = part !== document.activeElement && part.contains(document.activeElement);
      if (now === undefined || now === served.get(part) || held) {
        continue;
      }
      const region = part.querySelector(".table-responsive");
      const scrolled = region ? [region.scrollLeft, region.scrollTop] : null;
      part.replaceChildren(...[...fresh.get(part.dataset.live).childNodes].map((node) => document.importNode(node, true)));
      served.set(part, now);
      if (scrolled) {
        part.querySelector(".table-responsive")?.scrollTo(...scrolled);
      }
    }
    document.querySelectorAll("[data-filter]").forEach(filter);
    document.dispatchEvent(new CustomEvent("agents:refreshed"));
  };

  const refresh = async () => {
    clearTimeout(timer);
    asking?.abort();
    const mine = (asking = new AbortController());
    try {
      const signal = AbortSignal.any([mine.signal, AbortSignal.timeout(30000)]);
      const answer = await fetch(location.href, { headers, signal, cache: "no-store", redirect: "error" });
      if (answer.status === 401) {
        tell(trouble.dataset.signedOut);
        return;
      }
      if (!answer.ok) {
        throw new Error(String(answer.status));
      }
      take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      tell("");
    } catch {
      if (mine.signal.aborted) {
        return;
      }
      tell(trouble.dataset.away);
    }
    wait();
  };

  const wait = () => {
    clearTimeout(timer);
    if (!document.hidden) {
      timer = setTimeout(refresh, every);
    }
  };

  const filter = (field) => {
    const wanted = field.value.trim().toLowerCase();
    for (const row of document.querySelectorAll(`#${field.dataset.filter} [data-text]`)) {
      row.hidden = !row.dataset.text.toLowerCase().includes(wanted);
    }
  };

  const save = async (form, byDefault) => {
    const said = form.querySelector(".said");
    const amount = (name) => form.elements[name].value.trim() || null;
    const body = { kind: form.elements.kind.value, name: form.elements.name.value.trim() };
    Object.assign(body, byDefault ? { default: true } : { day_usd: amount("day_usd"), month_usd: amount("month_usd") });
    said.textContent = "";
    try {
      const answer = await fetch(new URL("admin/budget", location.href.replace(/\/admin.*/, "/")), {
        method: "POST",
        headers: { ...headers, "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(30000),
      });
      const found = await answer.json();
      if (!answer.ok) {
        throw new Error(found.message);
      }
      for (const period of found.periods) {
        const input = form.elements[`${period.period}_usd`];
        input.defaultValue = "new" in form.dataset ? "" : (period.limit_usd ?? "");
        input.value = input.defaultValue;
      }
      if ("new" in form.dataset) {
        form.elements.name.value = "";
      }
      said.classList.remove("text-danger-emphasis");
      said.textContent = said.dataset.saved;
      refresh();
    } catch (error) {
      said.classList.add("text-danger-emphasis");
      said.textContent = error.message;
    }
  };

  const cancel = async (button) => {
    if (!window.confirm(button.dataset.sure)) {
      return;
    }
    const said = document.getElementById("cancel-said");
    button.disabled = true;
    said.textContent = "";
    try {
      // Long enough for a CLI that does not end by itself.
      const signal = AbortSignal.timeout(60000);
      const answer = await fetch(button.dataset.cancel, { method: "POST", headers, signal, redirect: "error" });
      if (!answer.ok) {
        throw new Error((await answer.json()).message);
      }
      said.classList.remove("text-danger-emphasis");
      said.textContent = said.dataset.cancelled;
    } catch (error) {
      said.classList.add("text-danger-emphasis");
      said.textContent = error.message;
    }
    // The button may be gone with the next figures: who cancelled by keyboard goes on from here.
    said.focus();
    refresh();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-cancel]");
    if (button) {
      cancel(button);
    }
  });
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-budget]");
    if (form) {
      event.preventDefault();
      save(form, event.submitter?.name === "default");
    }
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-filter]")) {
      filter(event.target);
    }
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
  wait();
})();
