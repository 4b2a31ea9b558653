/* Passkeys: asks the browser for one, puts what it says into the form, and sends the form. Loaded only where it is used. */
(() => {
  'use strict';
  if (!window.PublicKeyCredential) return;
  const octets = text => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), c => c.charCodeAt(0));
  const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const named = all => all.map(({ id, ...rest }) => ({ ...rest, id: octets(id) }));
  for (const form of document.querySelectorAll('form[data-passkey]')) {
    const said = form.querySelector('[role=status]'), put = (name, value) => { form.elements[name].value = value; };
    form.closest('[data-passkey-part]').hidden = false;
    form.addEventListener('submit', async event => {
      event.preventDefault();
      said.textContent = '';
      try {
        const answer = await fetch(form.dataset.begin, { method: 'POST', body: new URLSearchParams({ csrf: form.elements.csrf?.value ?? '' }) });
        if (!answer.ok) throw new Error(`${answer.status}`);
        const publicKey = await answer.json();
        publicKey.challenge = octets(publicKey.challenge);
        if (form.dataset.passkey === 'make') {
          publicKey.user.id = octets(publicKey.user.id);
          publicKey.excludeCredentials = named(publicKey.excludeCredentials);
          const { response } = await navigator.credentials.create({ publicKey });
          put('attestation', text(response.attestationObject));
          put('client', text(response.clientDataJSON));
        } else {
          const made = await navigator.credentials.get({ publicKey });
          put('credential', text(made.rawId));
          put('authenticator', text(made.response.authenticatorData));
          put('signature', text(made.response.signature));
          put('user', made.response.userHandle ? text(made.response.userHandle) : '');
          put('client', text(made.response.clientDataJSON));
        }
        form.submit();
      } catch (error) {
        said.textContent = error.name === 'InvalidStateError' ? form.dataset.known : form.dataset.failed;
      }
    });
  }
})();
