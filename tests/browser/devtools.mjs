// Starts Chromium without a window and speaks the DevTools protocol with it over a pipe; nothing has to be installed.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const pause = ms => new Promise(ok => setTimeout(ok, ms));

export function start(chromium) {
  const profile = mkdtempSync(join(tmpdir(), 'pulsemx-browser-'));
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--hide-scrollbars', `--user-data-dir=${profile}`, '--remote-debugging-pipe', 'about:blank'];
  const browser = spawn(chromium, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const pending = new Map(), listeners = [];
  let serial = 0, buffer = '';
  browser.stdio[4].on('data', chunk => {
    buffer += chunk;
    for (let end; (end = buffer.indexOf('\0')) >= 0; buffer = buffer.slice(end + 1)) {
      const message = JSON.parse(buffer.slice(0, end));
      if (message.id) { const { ok, no } = pending.get(message.id); pending.delete(message.id); message.error ? no(new Error(message.error.message)) : ok(message.result); }
      else listeners.forEach(hear => hear(message));
    }
  });
  const call = (method, params = {}, sessionId) => new Promise((ok, no) => {
    const id = ++serial;
    pending.set(id, { ok, no });
    browser.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + '\0');
  });
  const stop = async () => {
    await Promise.race([call('Browser.close').catch(() => {}), pause(2000)]);
    browser.kill();
    await pause(300);
    // A browser that is still writing there must not hide what was found.
    try { rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }); } catch { /* The system tidies its temporary files. */ }
  };
  return { call, listeners, stop };
}
