/* Counts on what the page shows, hears what changed, switches the look. Writes text only, never markup. */
(() => {
  'use strict';
  const root = document.documentElement, body = document.body, lang = root.lang;
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const [day, days] = root.dataset.days.split('|');
  let drift = body.dataset.now ? body.dataset.now - Date.now() : 0;
  const now = () => Date.now() + drift;
  const two = n => String(n).padStart(2, '0');

  const span = ms => {
    const s = Math.max(0, Math.floor(ms / 1000)), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    if (s < 60) return `${s} s`;
    if (m < 60) return `${m}:${two(s % 60)} min`;
    if (h < 24) return `${h}:${two(m % 60)} h`;
    return `${d} ${d === 1 ? day : days} ${h % 24} h`;
  };
  const timeZone = root.dataset.zone || undefined;
  const clock = new Intl.DateTimeFormat(lang, { timeZone, hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  const short = new Intl.DateTimeFormat(lang, { timeZone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const date = new Intl.DateTimeFormat(lang === 'en' ? 'en-GB' : lang, { timeZone, day: 'numeric', month: 'short' });
  const iso = new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' });
  const midnight = ms => Date.parse(iso.format(new Date(+ms)));
  const local = (ms, form) => {
    const at = new Date(+ms);
    if (form === 'clock') return clock.format(at);
    const back = Math.round((midnight(now()) - midnight(ms)) / 864e5);
    const when = back === 0 ? root.dataset.today : back === 1 ? root.dataset.yesterday : date.format(at);
    return `${when} ${short.format(at)}`;
  };
  const put = (el, text) => { if (el.textContent !== text) el.textContent = text; };
  const stamps = from => all('time[data-ms]', from).forEach(t => put(t, local(t.dataset.ms, t.dataset.form)));
  const value = (data, key) => key.split('.').reduce((v, k) => v?.[k], data);

  let strip, last;
  const draw = () => {
    if (!strip || !strip.window) return;
    const t = now(), begin = t - strip.window, beats = strip.beats.slice(), missed = [], step = strip.interval;
    /* Beats are taken as coming until the server says otherwise; it tells at once when one is missing. */
    if (strip.is_beating && beats.length) while (beats.at(-1) + step <= t) beats.push(beats.at(-1) + step);
    last = beats.length ? beats.at(-1) : last;
    const gap = (from, to, grace) => {
      for (let k = Math.max(1, Math.ceil((begin - from) / step)), n = 0; from + k * step + grace <= to && n < 60; k++, n++) missed.push(from + k * step);
    };
    beats.forEach((at, i) => i && gap(beats[i - 1], at, step / 2));
    if (!strip.is_beating && last) gap(last, t, Math.min(2000, step / 2));
    const path = (times, from, how) => times.filter(at => at >= begin).map(at => `M${((at - begin) / strip.window * 600).toFixed(1)} ${from}${how}`).join('');
    document.getElementById('beats')?.setAttribute('d', path(beats, 14, 'V46'));
    document.getElementById('missed')?.setAttribute('d', path(missed, 37, 'l5 8m-5 0l5-8'));
    const age = document.getElementById('beat-age');
    if (age && last) put(age, span(t - last));
    const at = document.querySelector('[data-t=last_beat] time');
    if (at && strip.is_beating && last) { at.dataset.ms = last; put(at, local(last, 'clock')); }
  };
  const tick = () => { all('[data-since][data-ms]').forEach(el => put(el, span(now() - el.dataset.ms))); draw(); };

  const time = (el, at) => {
    const t = el.localName === 'time' ? el : el.querySelector('time') || el.appendChild(document.createElement('time'));
    t.hidden = !at;
    if (!at) return;
    t.dateTime = at.iso; t.dataset.ms = at.ms; t.dataset.form = at.form;
    put(t, local(at.ms, at.form));
  };
  const fill = (el, data) => {
    const set = (query, use) => { if (el.matches(query)) use(el); all(query, el).forEach(use); };
    set('[data-c]', e => put(e, data[e.dataset.c]));
    set('[data-class]', e => { e.className = data[e.dataset.class]; });
    set('[data-badge]', e => { e.className = `badge tone-${data[e.dataset.badge]}`; });
    set('[data-href]', e => e.setAttribute('href', e.dataset.href + data.id));
    set('[data-value]', e => { e.value = data[e.dataset.value]; });
    set('[data-label]', e => e.setAttribute('aria-label', data[e.dataset.label]));
    set('[data-icon]', e => e.setAttribute('href', `#i-${data[e.dataset.icon]}`));
    set('[data-opt]', e => { e.hidden = !data[e.dataset.opt]; });
    set('[data-since]', e => { const at = data[e.dataset.since]; if (at) e.dataset.ms = at; });
    set('[data-t]', e => time(e, data[e.dataset.t]));
    return el;
  };
  /* Rows that stay the same keep their place in the document, and with it focus and selection. */
  const list = (el, rows) => {
    const template = document.querySelector(`template[data-for="${el.dataset.row || el.dataset.list}"]`).content.firstElementChild;
    const made = rows.map(row => JSON.stringify(row));
    for (const old of [...el.children]) if (!made.includes(old.row)) old.remove();
    rows.forEach((row, i) => {
      if (el.children[i]?.row === made[i]) return;
      const fresh = fill(template.cloneNode(true), row);
      fresh.row = made[i];
      el.insertBefore(fresh, el.children[i] || null);
    });
    while (el.children.length > rows.length) el.lastElementChild.remove();
  };
  const there = v => Array.isArray(v) ? v.length > 0 : !!v;
  const show = data => {
    const stale = document.getElementById('stale'), main = document.getElementById('headline'), icon = document.getElementById('headline-icon');
    if (stale && !data.lines && body.dataset.fingerprint !== data.fingerprint) stale.hidden = false;
    drift = data.now - Date.now();
    all('[data-hide-zero]').forEach(e => { e.hidden = !data[e.dataset.hideZero]; });
    all('[data-k]').forEach(e => {
      const since = e.dataset.since && data[e.dataset.since];
      if (since) e.dataset.ms = since; else if (e.dataset.since) delete e.dataset.ms;
      put(e, String(value(data, e.dataset.k) ?? ''));
    });
    const free = e => !e.closest('[data-list],ol');
    all('main [data-opt]').filter(free).forEach(e => { e.hidden = !there(data[e.dataset.opt]); });
    all('main [data-none]').forEach(e => { e.hidden = there(data[e.dataset.none]); });
    all('main [data-t]').filter(free).forEach(e => time(e, value(data, e.dataset.t)));
    all('[data-list]').forEach(e => list(e, value(data, e.dataset.list) || []));
    body.dataset.tone = main ? data.tone : data.spool_tone;
    icon?.setAttribute('href', `#i-${main ? data.tone : data.spool_icon}`);
    if (main) {
      if (body.dataset.state !== data.state) put(document.getElementById('said'), data.headline + data.headline_span + data.headline_after);
      body.dataset.state = data.state;
      document.title = data.title;
      all('[data-step]').forEach(e => +e.dataset.step === data.step ? e.setAttribute('aria-current', 'step') : e.removeAttribute('aria-current'));
      const bars = all('.lane rect');
      data.anatomy?.segments.forEach((s, i) => { bars[i].setAttribute('x', s.x); bars[i].setAttribute('width', s.width); });
      strip = data.strip;
    }
    tick();
  };

  let wait = 1000;
  const listen = () => {
    const source = new EventSource(body.dataset.live), lost = document.getElementById('lost');
    source.addEventListener('state', event => { wait = 1000; lost.hidden = true; show(JSON.parse(event.data)); });
    source.onerror = () => {
      lost.hidden = false;
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(listen, wait);
      wait = Math.min(wait * 2, 60000);
    };
    addEventListener('pagehide', () => source.close(), { once: true });
  };
  addEventListener('pageshow', event => { if (event.persisted) location.reload(); });
  all('[data-look]').forEach(link => link.addEventListener('click', event => {
    event.preventDefault();
    root.dataset.theme = link.dataset.look;
    fetch(link.href);
  }));
  all('input[data-zone-guess]').forEach(field => { field.value = clock.resolvedOptions().timeZone || field.value; });
  addEventListener('click', async event => {
    const button = event.target.closest('[data-copy]');
    if (!button) return;
    const said = button.lastElementChild || button, was = said.textContent;
    await navigator.clipboard.writeText(button.parentElement.querySelector('input').value);
    const say = text => { put(said, text); button.classList.toggle('done'); };
    say(button.dataset.done);
    setTimeout(say, 2000, was);
  });
  if (navigator.clipboard) root.dataset.clip = '';
  /* These buttons need no new page: the stream brings what they did. What is refused is told on a page of its own. */
  all('form[data-quiet]').forEach(form => form.addEventListener('submit', event => {
    event.preventDefault();
    fetch(form.action, { method: 'POST', body: new URLSearchParams(new FormData(form)), redirect: 'manual' })
      .then(answer => answer.type === 'opaqueredirect' || form.submit());
  }));
  stamps(document);
  tick();
  setInterval(tick, 1000);
  if (body.dataset.live) listen();
})();
