// A passkey from beginning to end, with an authenticator that Chromium plays: added on the account's page, used to sign in, removed.
// Usage: node passkey.mjs CHROMIUM OUT_FOLDER ORIGIN COOKIE. Says what is wrong.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pause, start } from './devtools.mjs';

const [chromium, out, origin, cookie] = process.argv.slice(2);
const problems = [], { call, listeners, stop } = start(chromium);
mkdirSync(out, { recursive: true });

async function run() {
  const { browserContextId } = await call('Target.createBrowserContext');
  const { targetId } = await call('Target.createTarget', { url: 'about:blank', browserContextId });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const to = (method, params) => call(method, params, sessionId);
  listeners.push(({ sessionId: whose, method, params }) => {
    if (whose !== sessionId) return;
    if (method === 'Runtime.exceptionThrown') problems.push(`script failed: ${params.exceptionDetails.exception?.description}`);
    if (method === 'Log.entryAdded' && params.entry.level === 'error' && !params.entry.text.includes('422')) problems.push(`log: ${params.entry.text}`);
  });
  for (const domain of ['Page', 'Runtime', 'Log', 'Network', 'WebAuthn']) await to(`${domain}.enable`);
  const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
  const { authenticatorId } = await to('WebAuthn.addVirtualAuthenticator', { options });
  await to('Emulation.setDeviceMetricsOverride', { width: 1280, height: 1200, deviceScaleFactor: 1, mobile: false });
  const evaluate = async expression => (await to('Runtime.evaluate', { expression, returnByValue: true })).result.value;
  const until = async (what, expression) => {
    for (let n = 0; n < 200; n++, await pause(50)) if (await evaluate(expression).catch(() => false)) return;
    throw new Error(`${what}: never ${expression}\n${await evaluate('document.querySelector("main")?.textContent')}`);
  };
  const open = async path => {
    await to('Page.navigate', { url: origin + path });
    await until(path, `document.readyState === 'complete' && location.href.startsWith(${JSON.stringify(origin + path)})`);
  };
  const shoot = async name => {
    const { data } = await to('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
    writeFileSync(join(out, `${name}.png`), Buffer.from(data, 'base64'));
  };
  const press = selector => evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);
  const has = text => `document.querySelector('main').textContent.includes(${JSON.stringify(text)})`;
  const make = '[data-passkey=make]', get = '[data-passkey=get]';

  const [name, value] = cookie.split('=');
  await to('Network.setCookie', { url: origin, name, value });
  await open('/a/firma/account?lang=en');
  await until('the form is offered', `!document.querySelector('${make}').parentElement.hidden`);
  await evaluate(`document.querySelector('#passkey-name').value = 'Laptop <b>'`);
  await press(`${make} button`);
  await until('it is added', has('The passkey is added.'));
  await until('it is listed', has('Laptop <b>'));
  await shoot('passkey-account');
  // The same device again is refused by the browser itself.
  await evaluate(`document.querySelector('#passkey-name').value = 'again'`);
  await press(`${make} button`);
  await until('it is known', has('This device has a passkey of yours already.'));

  await to('Network.clearBrowserCookies');
  await open('/sign-in?lang=en');
  await until('the button is offered', `!document.querySelector('${get}').parentElement.hidden`);
  await shoot('passkey-sign-in');
  await press(`${get} button`);
  await until('signed in', `location.pathname === '/' && !!document.querySelector('form.out')`);
  const { cookies } = await to('Network.getCookies', { urls: [origin] });
  const session = cookies.find(one => one.name === 'pulsemx');
  if (!session?.httpOnly || session.sameSite !== 'Strict') problems.push(`the cookie is ${JSON.stringify(session)}`);
  const { credentials } = await to('WebAuthn.getCredentials', { authenticatorId });
  if (credentials.length !== 1 || !credentials[0].isResidentCredential) problems.push(`credentials: ${JSON.stringify(credentials)}`);

  // Somebody whom the device does not recognise.
  await to('Network.clearBrowserCookies');
  await to('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
  await open('/sign-in?lang=en');
  await press(`${get} button`);
  await until('refused', `document.querySelector('${get} [role=status]').textContent.includes('did not work')`);
  await to('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true });
  await press(`${get} button`);
  await until('signed in again', `location.pathname === '/' && !!document.querySelector('form.out')`);
  await open('/a/firma/account?lang=en');
  await press('form[action="/account/passkeys/remove"] button');
  await until('removed', has('The passkey is gone.'));
  await to('Network.clearBrowserCookies');
  await open('/sign-in?lang=en');
  await press(`${get} button`);
  await until('unknown', `location.pathname === '/sign-in/passkey' && ${has('Signing in with a passkey did not work.')}`);

  // Scripts off: the page does not offer what it cannot do.
  await to('Emulation.setScriptExecutionDisabled', { value: true });
  await to('Page.navigate', { url: `${origin}/sign-in?lang=en` });
  await pause(500);
  await to('Emulation.setScriptExecutionDisabled', { value: false });
  if (!await evaluate(`document.querySelector('${get}').parentElement.hidden`)) problems.push('without scripts a passkey is offered');
}

try { await run(); } catch (error) { problems.push(String(error.stack)); }
await stop();
problems.forEach(problem => process.stdout.write(`WRONG ${problem.replaceAll('\n', ' | ')}\n`));
process.exit(problems.length ? 1 : 0);
