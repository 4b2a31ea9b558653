//! The pages in a real browser: layout, policy, live updates, scripts off.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pulsemx::account::PeopleStore;
use pulsemx::liveness::{LineEvent, LineState};
use pulsemx::spool::RecipientState;
use pulsemx::web::{DemoButton, DemoControls, Settings, sign_in};
use serde_json::{Value, json};

use crate::account::{FIREFOX, House};
use crate::fakes::{self, FIRMA, OPERATOR, OWNER, line};
use crate::look::{FakeLook, look};
use crate::site::Site;

fn installed(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
        .find(|file| file.is_file())
}

struct Story(std::sync::Mutex<Vec<String>>);

impl DemoControls for Story {
    fn buttons(&self) -> Vec<DemoButton> {
        let all = [
            ("drop-line", "Drop the line"),
            ("change-address", "Change address"),
            ("refuse-452", "Refuse with 452"),
            ("refuse-550", "Refuse with 550"),
        ];
        all.map(|(id, label)| DemoButton { id: id.to_owned(), label: label.to_owned() }).into()
    }
    fn press(&self, id: &str) {
        self.0.lock().unwrap().push(format!("pressed {id}"));
    }
    fn story(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn story() -> Arc<Story> {
    let lines = [
        "Three mails went straight to the customer.",
        "The customer's line dropped.",
        "12 mails were accepted for it, <b>one</b> with a hostile subject.",
    ];
    Arc::new(Story(std::sync::Mutex::new(lines.map(str::to_owned).into())))
}

/// One site per state, all alive at once.
async fn sites() -> Vec<(&'static str, Site)> {
    let new = Site::open().await;
    *new.lines.line.lock().unwrap() = Some(line(LineState::New, 0));
    let online = Site::busy().await;
    *online.lines.line.lock().unwrap() = Some(line(LineState::Online, 2));
    online.spool.messages.lock().unwrap().clear();
    *online.log.rows.lock().unwrap() = fakes::history(None);
    let suspect = Site::busy().await;
    *suspect.lines.line.lock().unwrap() = Some(line(LineState::Suspect, 13));
    suspect.spool.messages.lock().unwrap().drain(..11);
    *suspect.log.rows.lock().unwrap() = fakes::history(None);
    let offline = Site::busy().await;
    offline.alerts.rows.lock().unwrap().channels = crate::alerts::some_channels();
    offline.spool.messages.lock().unwrap()[2].row.recipients[0].state = RecipientState::Held;
    let delivering = Site::busy().await;
    *delivering.lines.line.lock().unwrap() = Some(line(LineState::Returning, 1));
    delivering.spool.messages.lock().unwrap().drain(1..7);
    *delivering.log.rows.lock().unwrap() = fakes::history(None);
    let mut flush = fakes::flushed();
    (flush.is_delivering, flush.delivered_now) = (true, 6);
    *delivering.flushes.view.lock().unwrap() = flush;
    let trouble = Site::busy().await;
    *trouble.lines.line.lock().unwrap() = Some(line(LineState::Online, 1));
    trouble.flushes.view.lock().unwrap().last_problem = Some(fakes::HOSTILE.to_owned());
    let demo = Site::with(Settings { demo_controls: Some(story()), ..Settings::default() }).await;
    demo.go_offline();
    let lines = "@ 300 IN MX 10 firma.dyn.example.\nt 300 IN TXT \"<script>alert(1)</script>\"";
    *demo.names.zones.lock().unwrap() = vec![fakes::zone(FIRMA, "firma.example", lines)];
    let wrong = [(10, "localhost"), (20, "firma.dyn.example"), (30, "mx.<b>alt</b>.example")];
    let looked = Site::looking(FakeLook::open(&wrong)).await;
    look(&looked, &looked.signed_in(OWNER), "domain=neu.example").await;
    vec![
        ("new", new),
        ("online", online),
        ("suspect", suspect),
        ("offline", offline),
        ("delivering", delivering),
        ("trouble", trouble),
        ("demo", demo),
        ("looked", looked),
    ]
}

fn shot(name: String, url: String, cookie: &str, width: u32, dark: bool) -> Value {
    json!({ "name": name, "url": url, "cookie": cookie, "width": width, "dark": dark, "zone": "Europe/Berlin" })
}

/// The pages beside status and message, in one look.
fn page_shots((site, with_zone, looked): (&Site, &Site, &Site), lang: &str, width: u32, dark: bool) -> Vec<Value> {
    let look = if dark { "dark" } else { "light" };
    let mut all = Vec::new();
    for (page, path) in [
        ("spool-found", "/a/firma/spool?q=kunde&age=day&done=hold&n=2"),
        ("spool-kept", "/a/firma/spool?filter=kept"),
        ("log", "/a/firma/log"),
        ("domains", "/a/firma/domains"),
        ("domains-zone", "/a/firma/domains"),
        ("alerts", "/a/firma/alerts?done=added"),
        ("alerts-none", "/a/firma/alerts"),
        ("setup", "/a/firma/setup?domain=neu.example"),
        ("setup-zone", "/a/firma/setup?domain=-x-"),
        ("drill", "/a/firma/drill"),
        ("domains-looked", "/a/firma/domains?done=soon"),
        ("setup-looked", "/a/firma/setup?domain=neu.example"),
    ] {
        let site = match page {
            "domains-zone" | "alerts-none" | "setup-zone" => with_zone,
            "domains-looked" | "setup-looked" => looked,
            _ => site,
        };
        let cookie = site.signed_in(OWNER);
        let url = format!("{}{path}{}lang={lang}", site.origin, if path.contains('?') { '&' } else { '?' });
        all.push(shot(format!("{page}-{lang}-{width}-{look}"), url, &cookie, width, dark));
    }
    all
}

/// What a customer has made: a password, a passkey, a page for everybody, and tokens old and new.
async fn furnish(house: &House, mine: &str) {
    house.press("/account/password", mine, "password=correct+horse+battery").await;
    let added = crate::passkey::add(house, mine, &mut crate::passkey::Device::new()).await;
    assert_eq!(added.header("location"), Some("/a/firma/account?done=passkey"));
    house.press("/a/firma/account/public", mine, "which=on").await;
    for fields in [
        "label=Monitoring&valid=90&scope=status",
        "label=Donaudampfschifffahrtsgesellschaftsadministrationsrechner-1&valid=0&scope=status&scope=dns&scope=spool%3Aread&scope=spool%3Awrite",
    ] {
        let made = house.press("/a/firma/tokens", mine, fields).await;
        assert!(made.header("location").is_some_and(|to| to.contains("done=made")), "{}", made.body);
    }
}

/// Scripts that bring a page into the state of the picture.
const MAKE_TOKEN: &str = "document.getElementById('label').value = 'Router'; document.querySelector('input[value=dns]').checked = true; document.querySelector('form[action$=tokens] button').click()";
const MAKE_CODE: &str = "document.querySelector('form[action$=code] button').click()";
const OPEN_ALL: &str = "document.querySelectorAll('details').forEach(part => { part.open = true; })";

/// The pages of a person and what is public.
async fn account_shots(house: &House) -> Vec<Value> {
    let mine = house.signed_in(house.eva).await;
    furnish(house, &mine).await;
    let other = house.signed_in(house.eva).await;
    house.site.send("GET", "/a/firma", &other, &[FIREFOX], "").await;
    let operator = house.signed_in(house.somebody("operator", None).await).await;
    let public = house.store.publication(FIRMA).await.unwrap().unwrap();
    let public = format!("/s/{}", public.page_id);
    house.site.go_offline();
    let false_seal = format!("{public}?badge=online.1.x");
    let step = if std::env::var_os("PULSEMX_SHOTS").is_some() { 1 } else { 3 };
    let mut all = Vec::new();
    for (width, dark) in [(1280, false), (1280, true), (360, false), (360, true)].into_iter().step_by(step) {
        let (look, lang) = if dark { ("dark", "en") } else { ("light", "de") };
        for (page, path, cookie, before) in [
            ("account", "/a/firma/account?done=saved", mine.as_str(), OPEN_ALL),
            ("account-person", "/account", operator.as_str(), ""),
            ("account-password", "/sign-in", "", ""),
            ("public", public.as_str(), "", ""),
            ("public-false-seal", false_seal.as_str(), "", ""),
            ("account-tokens", "/a/firma/tokens", mine.as_str(), OPEN_ALL),
            ("account-token-new", "/a/firma/tokens", mine.as_str(), MAKE_TOKEN),
            ("account-code", "/a/firma/setup", mine.as_str(), MAKE_CODE),
        ] {
            // One code in a minute.
            if page == "account-code" && (width, dark) != (360, true) {
                continue;
            }
            // No passkey is made for an address.
            let origin = house.site.origin.replace("127.0.0.1", "localhost");
            let url = format!("{origin}{path}{}lang={lang}", if path.contains('?') { '&' } else { '?' });
            // Only the session: the language of this shot stands in its address.
            let cookie = cookie.split(';').next().unwrap_or_default();
            let mut shot = shot(format!("{page}-{lang}-{width}-{look}"), url, cookie, width, dark);
            shot["before"] = json!(before);
            all.push(shot);
        }
    }
    all
}

fn shots(sites: &[(&'static str, Site)]) -> Vec<Value> {
    // The gate looks at each page on a desktop and a telephone; who asks for pictures gets every look.
    let step = if std::env::var_os("PULSEMX_SHOTS").is_some() { 1 } else { 3 };
    let mut all = Vec::new();
    for (n, (name, site)) in sites.iter().enumerate() {
        let cookie = site.signed_in(OWNER);
        let looks =
            [("de", 1280, n % 2 == 1), ("en", 1280, n % 2 == 0), ("de", 360, n % 2 == 0), ("en", 360, n % 2 == 1)];
        for (lang, width, dark) in looks.into_iter().step_by(step) {
            let look = if dark { "dark" } else { "light" };
            all.push(shot(
                format!("status-{name}-{lang}-{width}-{look}"),
                format!("{}/?lang={lang}", site.origin),
                &cookie,
                width,
                dark,
            ));
        }
    }
    let site = &sites[3].1;
    let cookie = site.signed_in(OWNER);
    let (hostile, refused) = {
        let messages = site.spool.messages.lock().unwrap();
        (messages[4].row.id, messages[0].row.id)
    };
    site.verdicts.0.lock().unwrap().insert(hostile, crate::verdicts::mixed());
    for (width, dark) in [(1280, false), (1280, true), (360, false), (360, true)].into_iter().step_by(step) {
        let look = if dark { "dark" } else { "light" };
        let lang = if dark { "en" } else { "de" };
        let at = |path: &str| format!("{}{path}{}lang={lang}", site.origin, if path.contains('?') { '&' } else { '?' });
        all.push(shot(format!("spool-{lang}-{width}-{look}"), at("/a/firma/spool"), &cookie, width, dark));
        all.push(shot(
            format!("spool-empty-{width}-{look}"),
            at("/a/firma/spool?filter=delivered"),
            &cookie,
            width,
            dark,
        ));
        all.push(shot(
            format!("message-hostile-{width}-{look}"),
            at(&format!("/a/firma/spool/{hostile}")),
            &cookie,
            width,
            dark,
        ));
        all.push(shot(
            format!("message-refused-{width}-{look}"),
            at(&format!("/a/firma/spool/{refused}?retried=1")),
            &cookie,
            width,
            dark,
        ));
        all.extend(page_shots((site, &sites[6].1, &sites[7].1), lang, width, dark));
        let operator = site.signed_in(OPERATOR);
        all.push(shot(format!("accounts-{width}-{look}"), at("/"), &operator, width, dark));
        let secret = sign_in::new_secret().unwrap().0;
        all.push(shot(format!("sign-in-{width}-{look}"), at(&format!("/sign-in/{secret}")), "", width, dark));
        let mut out = shot(format!("signed-out-{width}-{look}"), at("/"), "", width, dark);
        out["status"] = json!(401);
        all.push(out);
    }
    let mut no_script = shot("no-script".to_owned(), format!("{}/?lang=de", site.origin), &cookie, 1280, false);
    no_script["noScript"] = json!(true);
    all.push(no_script);
    all
}

/// The page about set-up, open while somebody looks.
fn look_watch(right: &Site, looker: &str) -> Value {
    let mut watch =
        shot("live-look".to_owned(), format!("{}/a/firma/setup?lang=en", right.origin), looker, 1280, false);
    watch["until"] = json!("!document.querySelector('[data-opt=dns_ok]').hidden");
    watch["expect"] = json!({
        "document.querySelectorAll('.records li.ok').length": 4,
        "document.querySelector('.records li .verdict').textContent": "right",
        "document.querySelector('.records input').getAttribute('aria-label')": "Name, MX 10 firma.example.",
        "getComputedStyle(document.querySelector('.records [data-copy]')).display": "flex",
        "document.querySelector('[data-none=looked]').hidden": true,
        "document.querySelectorAll('.events li.bad').length": 1,
    });
    watch
}

fn node() -> PathBuf {
    installed(&["node"]).expect("Node.js drives the browser; `tests/all peers` installs it")
}

fn chromium() -> PathBuf {
    installed(&["chromium", "chromium-browser", "google-chrome"])
        .expect("a Chromium looks at the pages; `tests/all peers` installs it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passkey_is_made_used_and_removed_in_a_browser() {
    let house = House::open().await;
    let cookie = house.signed_in(house.eva).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = tokio::task::block_in_place(|| {
        Command::new(node())
            .arg(root.join("tests/browser/passkey.mjs"))
            .arg(chromium())
            .arg(root.join("target/screenshots"))
            // No passkey is made for an address.
            .arg(house.site.origin.replace("127.0.0.1", "localhost"))
            .arg(cookie.split(';').next().unwrap())
            .output()
            .unwrap()
    });
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let noted = house.noted().await;
    assert_eq!(noted.iter().filter(|what| what.as_str() == "session.passkey Laptop <b>").count(), 2, "{noted:?}");
}

/// Runs the browser; calls `go` when it asks for the change of the world. Returns what was wrong.
fn browse(node: &Path, chromium: &Path, shots: &[Value], mut go: impl FnMut()) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(node)
        .arg(root.join("tests/browser/check.mjs"))
        .arg(chromium)
        .arg(root.join("target/screenshots"))
        .arg(Value::from(shots).to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut wrong = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("GO ") {
            go();
        } else {
            println!("{line}");
            wrong.extend(line.strip_prefix("WRONG ").map(str::to_owned));
        }
    }
    let ended = child.wait().unwrap();
    if !ended.success() && wrong.is_empty() {
        wrong.push(format!("the browser's script ended with {ended}"));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_every_page_without_a_fault_and_follows_by_itself() {
    let (node, chromium) = (node(), chromium());
    let sites = sites().await;
    let (live, house) = (Site::open().await, House::open().await);
    let mut shots = shots(&sites);
    shots.extend(account_shots(&house).await);
    if let Ok(only) = std::env::var("PULSEMX_SHOTS") {
        shots.retain(|shot| shot["name"].as_str().unwrap().contains(&only));
    }
    let cookie = live.signed_in(OWNER);
    let mut watch = shot("live".to_owned(), format!("{}/?lang=en", live.origin), &cookie, 1280, false);
    watch["until"] = json!("document.body.dataset.state === 'offline'");
    watch["expect"] = json!({
        "document.querySelector('.figure b').textContent": "13",
        "document.querySelector('.steps [aria-current]').textContent": "Offline, mail is held",
        "document.querySelector('.tabs .pill').hidden": false,
        "document.querySelectorAll('[data-list=history] li').length > 3": true,
        "document.title": "Offline: firma",
        "document.querySelectorAll('[data-list=facts] dd').length > 3": true,
        "document.querySelectorAll('.figures dd').length": 4,
        "+document.querySelector('.seg-bad').getAttribute('width') > 100": true,
        "[...document.querySelectorAll('.events ~ p')].every(p => p.hidden)": true,
        "/\\d:\\d\\d min/.test(document.getElementById('headline').textContent)": true,
        "(document.querySelector('[data-look=dark]').click(), document.documentElement.dataset.theme)": "dark",
    });
    shots.push(watch);
    let mut watch =
        shot("live-spool".to_owned(), format!("{}/a/firma/spool?lang=en", live.origin), &cookie, 1280, false);
    watch["until"] = json!("document.querySelectorAll('.spool tbody tr').length === 4");
    watch["before"] = json!("document.querySelectorAll('.spool tbody a')[2].focus()");
    watch["expect"] = json!({
        "document.querySelector('h1').textContent.trim()": "3 messages are waiting for your server",
        "document.querySelector('.chips b').textContent": "4",
        "document.activeElement.textContent": "k.sommer@notar-beispiel.example",
        "document.querySelector('#stale').hidden": true,
        "document.querySelector('.spool tbody script')": null,
    });
    shots.push(watch);
    let demo = &sites[6].1;
    let mut watch =
        shot("live-demo".to_owned(), format!("{}/?lang=en", demo.origin), &demo.signed_in(OWNER), 1280, false);
    watch["before"] = json!("document.querySelectorAll('form[data-quiet] button')[1].click()");
    watch["until"] = json!("document.querySelectorAll('.story li').length === 4");
    watch["expect"] = json!({ "document.querySelector('.story li:last-child').textContent": "pressed change-address" });
    shots.push(watch);
    let right = Site::looking(FakeLook::open(&[(10, "firma.dyn.example"), (20, "localhost")])).await;
    let looker = right.signed_in(OWNER);
    shots.push(look_watch(&right, &looker));
    let went = std::sync::atomic::AtomicU32::new(0);
    let wrong = tokio::task::block_in_place(|| {
        browse(&node, &chromium, &shots, || match went.fetch_add(1, Ordering::Relaxed) {
            0 => {
                live.go_offline();
                let row = live.log.rows.lock().unwrap()[0].clone();
                live.lines.events.send(LineEvent::Changed(row)).unwrap();
            }
            1 => {
                live.spool.messages.lock().unwrap().truncate(4);
                live.stored.send(FIRMA).unwrap();
            }
            3 => {
                tokio::runtime::Handle::current().block_on(look(&right, &looker, ""));
            }
            _ => {}
        })
    });
    assert_eq!(went.load(Ordering::Relaxed), 4, "the browser opened the live pages");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
