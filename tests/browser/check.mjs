// Opens the pages named on the command line in Chromium and says what is wrong with them.
// Usage: node check.mjs CHROMIUM OUT_FOLDER SHOTS_JSON. Speaks the DevTools protocol over a pipe, so nothing has to be installed.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pause, start } from './devtools.mjs';

const [chromium, out, shotsJson] = process.argv.slice(2);
const shots = JSON.parse(shotsJson);
mkdirSync(out, { recursive: true });
// Path of axe.min.js: with it every page is also checked for what keeps people out (WCAG 2.2 AA and best practice).
const axe = process.env.PULSEMX_AXE ? readFileSync(process.env.PULSEMX_AXE, 'utf8') : '';
const { call, listeners, stop } = start(chromium);

const problems = [];
async function open(shot) {
  const { browserContextId } = await call('Target.createBrowserContext');
  const { targetId } = await call('Target.createTarget', { url: 'about:blank', browserContextId });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const to = (method, params) => call(method, params, sessionId);
  const wrong = what => problems.push(`${shot.name}: ${what}`);
  listeners.push(message => {
    if (message.sessionId !== sessionId) return;
    const { method, params } = message;
    if (method === 'Runtime.exceptionThrown') wrong(`script failed: ${params.exceptionDetails.exception?.description}`);
    if (method === 'Log.entryAdded' && params.entry.level === 'error' && !(shot.status && params.entry.text.includes(`${shot.status}`))) wrong(`log: ${params.entry.text}`);
    if (method === 'Page.javascriptDialogOpening') { wrong(`dialog: ${params.message}`); to('Page.handleJavaScriptDialog', { accept: false }); }
  });
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await to(`${domain}.enable`);
  const [name, value] = (shot.cookie || '').split('=');
  if (name) await to('Network.setCookie', { url: shot.url, name, value });
  await to('Emulation.setDeviceMetricsOverride', { width: shot.width, height: shot.height || 900, deviceScaleFactor: 1, mobile: shot.width < 500 });
  await to('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: shot.dark ? 'dark' : 'light' }] });
  if (shot.zone) await to('Emulation.setTimezoneOverride', { timezoneId: shot.zone });
  if (shot.noScript) await to('Emulation.setScriptExecutionDisabled', { value: true });
  const loaded = new Promise(ok => listeners.push(m => m.sessionId === sessionId && m.method === 'Page.loadEventFired' && ok()));
  await to('Page.navigate', { url: shot.url });
  await Promise.race([loaded, pause(30000).then(() => { throw new Error(`${shot.name} never loaded`); })]);
  await pause(250);
  const evaluate = async expression => {
    const { result, exceptionDetails } = await to('Runtime.evaluate', { expression, returnByValue: true });
    if (exceptionDetails) wrong(`${expression}: ${exceptionDetails.exception?.description}`);
    return result.value;
  };
  const close = () => call('Target.disposeBrowserContext', { browserContextId }).catch(() => {});
  return { to, wrong, evaluate, close };
}

async function photograph(shot) {
  const page = await open(shot);
  if (shot.before) { await page.evaluate(shot.before); await pause(700); }
  const width = await page.evaluate('document.documentElement.scrollWidth');
  if (width > shot.width) page.wrong(`scrolls sideways, ${width} px of ${shot.width}`);
  for (const [expression, wanted] of Object.entries(shot.expect || {})) {
    const found = await page.evaluate(expression);
    if (found !== wanted) page.wrong(`${expression} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  }
  const small = await page.evaluate(`JSON.stringify([...document.querySelectorAll('a,button,summary')].filter(e => { const r = e.getBoundingClientRect(); return r.width > 2 && r.height > 0 && r.height < (getComputedStyle(e).display === 'inline' ? 15 : 24); }).map(e => e.textContent.trim().slice(0, 20) + ' ' + e.getBoundingClientRect().height))`);
  if (small !== '[]') page.wrong(`targets too small: ${small}`);
  if (axe) {
    await page.evaluate(`${axe};0`);
    const { result } = await page.to('Runtime.evaluate', { awaitPromise: true, returnByValue: true, expression: `axe.run(document, { resultTypes: ['violations'] }).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.target.join(' '))))` });
    for (const finding of result.value ?? ['axe did not run']) page.wrong(`axe ${finding}`);
  }
  const height = Math.min(4000, await page.evaluate('document.documentElement.scrollHeight'));
  const { data } = await page.to('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip: { x: 0, y: 0, width: shot.width, height, scale: 1 } });
  writeFileSync(join(out, `${shot.name}.png`), Buffer.from(data, 'base64'));
  if (axe) await walk(page);
  await page.close();
}

// Goes through the page with the Tab key: whatever has the focus must be in sight, with a ring that nothing cuts off.
async function walk(page) {
  await page.to('Emulation.setFocusEmulationEnabled', { enabled: true });
  const look = `(() => {
    const e = document.activeElement;
    if (!e || e === document.body || e.dataset.walked) return '';
    const style = getComputedStyle(e), ring = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset), r = e.getBoundingClientRect();
    const name = e.tagName + ' ' + (e.name || e.textContent.trim()).slice(0, 30);
    if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) return name + ': no ring';
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement) {
      const c = p.getBoundingClientRect();
      if (getComputedStyle(p).overflowX !== 'visible' && (r.left - ring < c.left || r.top - ring < c.top || r.right + ring > c.right || r.bottom + ring > c.bottom)) return name + ': its ring is cut off by ' + p.className;
    }
    return r.left - ring < 0 || r.right + ring > innerWidth || r.top < -1 || r.bottom > innerHeight + 1 ? name + ': out of sight ' + [r.left, r.top, r.right, r.bottom].map(Math.round) : 'fine';
  })()`;
  const key = { key: 'Tab', code: 'Tab', windowsVirtualKeyCode: 9 };
  for (let n = 0; n < 80; n++) {
    await page.to('Input.dispatchKeyEvent', { type: 'rawKeyDown', ...key });
    await page.to('Input.dispatchKeyEvent', { type: 'keyUp', ...key });
    let found = await page.evaluate(look);
    for (let wait = 0; wait < 10 && found.includes('out of sight'); wait++) { await pause(50); found = await page.evaluate(look); }
    await page.evaluate("document.activeElement.dataset.walked = '1'");
    if (found === '') return;
    if (found !== 'fine') page.wrong(`focus: ${found}`);
  }
}

// The page is open and quiet; the test changes the world when it reads GO, and the page has to follow.
async function watch(shot) {
  const page = await open(shot);
  await page.evaluate('window.marker = 1');
  if (shot.before) await page.evaluate(shot.before);
  const begin = Date.now();
  process.stdout.write(`GO ${shot.name}\n`);
  while (!await page.evaluate(shot.until)) {
    if (Date.now() - begin > 5000) return page.wrong(`never showed ${shot.until}`);
    await pause(5);
  }
  const took = Date.now() - begin;
  process.stdout.write(`TOOK ${shot.name} ${took}\n`);
  /* Commonly 60 to 150 ms; the bar of 300 ms is held where nothing else runs, in the test of the stream. */
  if (took > 1000) page.wrong(`followed after ${took} ms`);
  if (await page.evaluate('window.marker') !== 1) page.wrong('was loaded again');
  for (const [expression, wanted] of Object.entries(shot.expect || {})) {
    const found = await page.evaluate(expression);
    if (found !== wanted) page.wrong(`${expression} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  }
  const { data } = await page.to('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
  writeFileSync(join(out, `${shot.name}.png`), Buffer.from(data, 'base64'));
}

try {
  const still = shots.filter(shot => !shot.until);
  const worker = async () => { for (let shot; (shot = still.shift());) await photograph(shot); };
  await Promise.all([worker(), worker(), worker(), worker()]);
  for (const shot of shots.filter(shot => shot.until)) await watch(shot);
} catch (error) {
  problems.push(String(error.stack));
}
problems.forEach(problem => process.stdout.write(`WRONG ${problem.replaceAll('\n', ' | ')}\n`));
await stop();
process.exit(problems.length ? 1 : 0);
