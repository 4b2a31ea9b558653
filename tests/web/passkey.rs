//! Passkeys: added on the account's page, good for signing in here, once, for their own person, and gone when removed.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey};
use pulsemx::account::PasskeyStore;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::account::House;
use crate::site::{Reply, Site};

/// An authenticator in software, with one key.
pub struct Device {
    key: SigningKey,
    counter: u32,
    /// Who it was made for, as the site said.
    user: String,
    host: &'static str,
    flags: u8,
}

const CREDENTIAL: [u8; 20] = [7; 20];

fn text(octets: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(octets.as_ref())
}

/// How browsers name the site: no address can have passkeys.
fn origin(site: &Site) -> String {
    site.origin.replace("127.0.0.1", "localhost")
}

async fn post(site: &Site, path: &str, cookie: &str, body: &str) -> Reply {
    let host = origin(site);
    let host = host.strip_prefix("http://").unwrap();
    site.send_to(host, path, cookie, &origin(site), body).await
}

fn client_data(kind: &str, challenge: &str, origin: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"challenge\":\"{challenge}\",\"origin\":\"{origin}\",\"crossOrigin\":false}}")
}

impl Device {
    pub fn new() -> Self {
        Self { key: SigningKey::from_bytes(&[9; 32]), counter: 0, user: String::new(), host: "localhost", flags: 0x05 }
    }

    fn data(&self) -> Vec<u8> {
        let mut data = Sha256::digest(self.host).to_vec();
        data.push(self.flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// `client` and `attestation` of a form (Web Authentication §6.5, format `none`).
    fn made(&self, challenge: &str, origin: &str) -> String {
        let mut data = self.data();
        data[32] |= 0x40;
        data.extend([0; 16]);
        data.extend([0, 20]);
        data.extend(CREDENTIAL);
        data.extend([0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 0x20]);
        data.extend(self.key.verifying_key().as_bytes());
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        let client = client_data("webauthn.create", challenge, origin);
        format!("client={}&attestation={}", text(client), text(object))
    }

    /// All fields of a sign-in.
    fn signed(&self, challenge: &str, origin: &str) -> String {
        let (data, client) = (self.data(), client_data("webauthn.get", challenge, origin));
        let whole = [&data[..], &Sha256::digest(&client)[..]].concat();
        let signature = self.key.sign(&whole).to_bytes();
        let (client, data) = (text(client), text(data));
        let (name, signature, user) = (text(CREDENTIAL), text(signature), &self.user);
        format!("client={client}&authenticator={data}&signature={signature}&credential={name}&user={user}")
    }
}

async fn asked(site: &Site, path: &str, cookie: &str, body: &str) -> Value {
    let reply = post(site, path, cookie, body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

async fn token(house: &House, cookie: &str) -> String {
    house.site.get("/a/firma/account", cookie).await.attribute("name=\"csrf\" value=\"")
}

/// Adds the device; the answer to the last form.
pub async fn add(house: &House, cookie: &str, device: &mut Device) -> Reply {
    let csrf = format!("csrf={}", token(house, cookie).await);
    let question = asked(&house.site, "/account/passkeys/begin", cookie, &csrf).await;
    device.user = question["user"]["id"].as_str().unwrap().to_owned();
    let made = device.made(question["challenge"].as_str().unwrap(), &origin(&house.site));
    post(&house.site, "/account/passkeys", cookie, &format!("{csrf}&back=firma&name=Telefon&{made}")).await
}

async fn challenge(house: &House) -> String {
    let question = asked(&house.site, "/sign-in/passkey/begin", "", "").await;
    assert_eq!((&question["rpId"], &question["userVerification"]), (&"localhost".into(), &"required".into()));
    assert!(question["allowCredentials"].is_null(), "no name is asked for and none is told");
    question["challenge"].as_str().unwrap().to_owned()
}

async fn sign_in(house: &House, device: &Device) -> Reply {
    let challenge = challenge(house).await;
    post(&house.site, "/sign-in/passkey", "", &device.signed(&challenge, &origin(&house.site))).await
}

#[tokio::test]
async fn a_passkey_is_added_signs_in_and_is_gone_when_it_was_removed() {
    let house = House::open().await;
    let cookie = house.signed_in(house.eva).await;
    let mut device = Device::new();
    let csrf = format!("csrf={}", token(&house, &cookie).await);
    let question = asked(&house.site, "/account/passkeys/begin", &cookie, &csrf).await;
    assert_eq!((&question["rp"]["id"], &question["attestation"]), (&"localhost".into(), &"none".into()));
    assert_eq!(question["authenticatorSelection"]["residentKey"], "required");
    let added = add(&house, &cookie, &mut device).await;
    assert_eq!((added.status, added.header("location")), (303, Some("/a/firma/account?done=passkey")));
    let page = house.site.get("/a/firma/account?lang=en", &cookie).await;
    assert!(page.body.contains("<bdi>Telefon</bdi>") && page.body.contains("not used yet"), "{}", page.body);
    device.counter = 1;
    let reply = sign_in(&house, &device).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/")), "{}", reply.body);
    let fresh = Site::cookie_of(&reply);
    assert_eq!(house.site.get("/a/firma", &fresh).await.status, 200);
    let page = house.site.get("/a/firma/account?lang=en", &fresh).await;
    assert!(page.body.contains("last used <time"), "{}", page.body);
    let body =
        format!("csrf={}&back=firma&which={}", token(&house, &fresh).await, page.attribute("name=\"which\" value=\""));
    let mark =
        page.body.split("/account/passkeys/remove").nth(1).unwrap().split("name=\"which\" value=\"").nth(1).unwrap();
    let mark = mark.split('"').next().unwrap();
    let body = format!("{}&which={mark}", body.rsplit_once("&which=").unwrap().0);
    assert_eq!(post(&house.site, "/account/passkeys/remove", &fresh, &body).await.status, 303);
    device.counter = 2;
    assert_eq!(sign_in(&house, &device).await.status, 422);
    let noted = house.noted().await;
    for wanted in ["passkey.add Telefon", "session.passkey Telefon", "passkey.remove Telefon"] {
        assert!(noted.contains(&wanted.to_owned()), "{wanted}: {noted:?}");
    }
}

#[tokio::test]
async fn an_answer_is_believed_once_from_here_by_a_verified_person_and_from_no_copy() {
    let house = House::open().await;
    let cookie = house.signed_in(house.eva).await;
    let mut device = Device::new();
    add(&house, &cookie, &mut device).await;
    device.counter = 5;
    let site = &house.site;
    let question = challenge(&house).await;
    let answer = device.signed(&question, &origin(site));
    assert_eq!(post(site, "/sign-in/passkey", "", &answer).await.status, 303);
    assert_eq!(post(site, "/sign-in/passkey", "", &answer).await.status, 422, "the same answer again");
    let wrong = |change: fn(&mut Device)| {
        let mut other = Device { user: device.user.clone(), counter: 6, ..Device::new() };
        change(&mut other);
        other
    };
    for (what, other) in [
        ("a counter that stands still", wrong(|d| d.counter = 5)),
        ("another key", wrong(|d| d.key = SigningKey::from_bytes(&[1; 32]))),
        ("another host", wrong(|d| d.host = "evil.example")),
        ("nobody verified", wrong(|d| d.flags = 0x01)),
        ("nobody there", wrong(|d| d.flags = 0x04)),
        ("another person", wrong(|d| d.user = text([1; 32]))),
    ] {
        let reply = sign_in(&house, &other).await;
        assert!(reply.status == 422 && reply.header("set-cookie").is_none(), "{what}: {}", reply.status);
    }
    let foreign = device.signed(&challenge(&house).await, "https://evil.example");
    assert_eq!(post(site, "/sign-in/passkey", "", &foreign).await.status, 422, "made for another page");
    let invented = device.signed(&text([3; 32]), &origin(site));
    assert_eq!(post(site, "/sign-in/passkey", "", &invented).await.status, 422, "nobody asked");
    // A question that was asked in order to add one is none to sign in with, and the other way round.
    let csrf = format!("csrf={}", token(&house, &cookie).await);
    let adding = asked(site, "/account/passkeys/begin", &cookie, &csrf).await;
    let crossed = device.signed(adding["challenge"].as_str().unwrap(), &origin(site));
    assert_eq!(post(site, "/sign-in/passkey", "", &crossed).await.status, 422);
    let made = device.made(&challenge(&house).await, &origin(site));
    assert_eq!(post(site, "/account/passkeys", &cookie, &format!("{csrf}&name=x&{made}")).await.status, 422);
    device.counter = 6;
    assert_eq!(sign_in(&house, &device).await.status, 303, "the device itself still may");
}

#[tokio::test]
async fn an_unknown_passkey_is_answered_as_a_wrong_one_and_nobody_asks_for_ever() {
    let house = House::open().await;
    let cookie = house.signed_in(house.eva).await;
    let mut device = Device::new();
    let unknown = sign_in(&house, &device).await;
    add(&house, &cookie, &mut device).await;
    device.key = SigningKey::from_bytes(&[1; 32]);
    let wrong = sign_in(&house, &device).await;
    assert_eq!((unknown.status, &unknown.body), (wrong.status, &wrong.body));
    // From another page, without the session, and twice the same.
    let site = &house.site;
    assert_eq!(site.post_from("https://evil.example", "/sign-in/passkey/begin", "", "").await.status, 403);
    assert_eq!(post(site, "/account/passkeys/begin", &cookie, "csrf=x").await.status, 403);
    assert_eq!(post(site, "/account/passkeys/begin", "", "csrf=x").await.status, 401);
    assert_eq!(add(&house, &cookie, &mut Device::new()).await.status, 422, "the same credential again");
    assert_eq!(house.store.passkeys_of(house.eva).await.unwrap().len(), 1);
    // An address has no passkeys: the page does not offer them, and nothing is asked.
    assert!(!site.get("/sign-in", "").await.body.contains("data-passkey"));
    assert_eq!(site.post("/sign-in/passkey/begin", "", "").await.status, 404);
    let mut last = 200;
    for _ in 0..70 {
        last = post(site, "/sign-in/passkey/begin", "", "").await.status;
    }
    assert_eq!(last, 429);
}
