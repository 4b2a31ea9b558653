//! The person and the account: sessions, language and zone, password, data, the way out.

use pulsemx::account::{AccountStatus, AccountStore, BeatKeyRecord, Change, NewAccount, NewSession, PeopleStore, Role};
use pulsemx::base::{DomainName, EndpointId, PersonId};
use pulsemx::liveness::LineState;
use pulsemx::store::MemoryStore;
use pulsemx::web::{Settings, sign_in};

use crate::fakes::{self, FIRMA, HOSTILE, line};
use crate::site::{Reply, Site};

fn change() -> Change {
    Change { at: fakes::ago(0), who: "operator".to_owned() }
}

/// A site with one account in a store with all its rules, and its owner.
pub struct House {
    pub store: MemoryStore,
    pub site: Site,
    pub eva: PersonId,
}

impl House {
    pub async fn open() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let store = MemoryStore::new();
        let key = BeatKeyRecord {
            endpoint: EndpointId(0),
            locator: [1; 8],
            sealed_mac_keys: vec![1],
            move_key: [1; 32],
            bearer_verifier: [2; 32],
            created_at: fakes::ago(9_000),
            expires_at: None,
        };
        let new = NewAccount {
            name: "firma".parse().unwrap(),
            host: DomainName::parse("firma.dyn.example").unwrap(),
            smtp_port: 25,
            domains: vec![DomainName::parse("firma.example").unwrap()],
            key,
        };
        let (account, _) = store.create_account(new, change()).await.unwrap();
        assert_eq!(account, FIRMA);
        let eva = store.owner_of(FIRMA).await.unwrap().unwrap();
        let site = Site::over(&store, settings).await;
        *site.lines.line.lock().unwrap() = Some(line(LineState::Online, 2));
        Self { store, site, eva }
    }

    /// The cookie of a new session.
    pub async fn signed_in(&self, person: PersonId) -> String {
        let (text, secret_hash) = sign_in::new_secret().unwrap();
        let new = NewSession { secret_hash, person, expires_at: fakes::ago(-3_600) };
        self.store.open_session(new, change()).await.unwrap();
        format!("pulsemx={text}; lang=en")
    }

    pub async fn somebody(&self, name: &str, role: Option<Role>) -> PersonId {
        let person = self.store.ensure_person(name, role.is_none(), change()).await.unwrap();
        if let Some(role) = role {
            self.store.set_membership(person, FIRMA, role, change()).await.unwrap();
        }
        person
    }

    pub async fn press(&self, path: &str, cookie: &str, fields: &str) -> Reply {
        let body = format!("csrf={}&{fields}", self.site.token(cookie).await);
        self.site.post(path, cookie, &body).await
    }

    pub async fn noted(&self) -> Vec<String> {
        self.store.audit(Some(FIRMA), 50).await.unwrap().into_iter().map(|row| row.what).collect()
    }
}

pub const FIREFOX: (&str, &str) =
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0");

#[tokio::test]
async fn sessions_are_listed_with_browser_and_address_and_ended_one_by_one_or_all_others() {
    let house = House::open().await;
    let (mine, phone, old) =
        (house.signed_in(house.eva).await, house.signed_in(house.eva).await, house.signed_in(house.eva).await);
    house.site.send("GET", "/a/firma", &phone, &[FIREFOX], "").await;
    house.site.send("GET", "/a/firma", &old, &[("User-Agent", HOSTILE)], "").await;
    let page = house.site.get("/a/firma/account", &mine).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Firefox, Linux") && page.body.contains("127.0.0.1"));
    assert_eq!(page.body.matches("this browser").count(), 1);
    assert_eq!(page.body.matches("/account/sessions\"").count(), 4, "three and the button for all others");
    assert!(!page.body.contains("<script>alert"), "what a browser says of itself stays text");

    let at = page.body.find("Firefox, Linux").unwrap();
    let mark: String = page.body[at..].split("name=\"which\" value=\"").nth(1).unwrap().chars().take(24).collect();
    let reply = house.press("/account/sessions", &mine, &format!("back=firma&which={mark}")).await;
    assert_eq!(reply.header("location"), Some("/a/firma/account?done=ended"));
    assert_eq!(house.site.get("/a/firma", &phone).await.status, 401);
    assert_eq!(house.site.get("/a/firma", &old).await.status, 200);

    let strangers = house.signed_in(house.somebody("Tom", Some(Role::Viewer)).await).await;
    house.press("/account/sessions", &strangers, "which=others").await;
    assert_eq!(house.site.get("/a/firma", &old).await.status, 200, "nobody ends the sessions of others");
    assert_eq!(house.site.post("/account/sessions", &mine, "which=others").await.status, 403, "only by our own form");
    house.press("/account/sessions", &mine, "which=others").await;
    assert_eq!(house.site.get("/a/firma", &old).await.status, 401);
    assert_eq!(house.site.get("/a/firma", &mine).await.status, 200);
    assert!(house.noted().await.iter().filter(|what| *what == "session.end 1").count() == 2);
    assert!(house.site.get("/a/firma/log", &mine).await.body.contains("Sessions ended"));
}

#[tokio::test]
async fn who_ends_the_own_session_is_signed_out() {
    let house = House::open().await;
    let mine = house.signed_in(house.eva).await;
    let page = house.site.get("/a/firma/account", &mine).await;
    let mark = page.attribute("name=\"which\" value=\"");
    let reply = house.press("/account/sessions", &mine, &format!("which={mark}")).await;
    assert!(reply.head.contains("Max-Age=0"), "{}", reply.head);
    assert_eq!(house.site.get("/a/firma", &mine).await.status, 401);
}

#[tokio::test]
async fn behind_a_proxy_of_ours_the_address_is_the_one_that_it_names() {
    let settings = Settings { public_origin: Some("https://mx2.example".to_owned()), ..Settings::default() };
    let house = House::with(settings).await;
    let mine = house.signed_in(house.eva).await.replace("pulsemx=", "__Host-pulsemx=");
    let forwarded = ("X-Forwarded-For", "198.51.100.66, 2001:db8::5");
    house.site.send("GET", "/a/firma", &mine, &[FIREFOX, forwarded], "").await;
    assert!(house.site.get("/a/firma/account", &mine).await.body.contains("2001:db8::5"));

    let plain = House::open().await;
    let mine = plain.signed_in(plain.eva).await;
    plain.site.send("GET", "/a/firma", &mine, &[forwarded], "").await;
    assert!(!plain.site.get("/a/firma/account", &mine).await.body.contains("2001:db8"), "no proxy, no word for it");
}

#[tokio::test]
async fn language_and_zone_go_with_the_person_to_every_browser() {
    let house = House::open().await;
    let mine = house.signed_in(house.eva).await;
    let wrong = house.press("/account/choice", &mine, "back=firma&tongue=de&zone=Mitteleuropa").await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("That is no time zone"));
    let reply = house.press("/account/choice", &mine, "back=firma&tongue=de&zone=Pacific%2FKiritimati").await;
    assert_eq!(reply.header("location"), Some("/a/firma/account?done=saved"));
    assert!(reply.header("set-cookie").unwrap().starts_with("lang=; "), "what this browser was told before goes");

    let other = house.signed_in(house.eva).await.replace("; lang=en", "");
    let english = [("Accept-Language", "en-GB,en;q=0.9")];
    let page = house.site.send("GET", "/a/firma/log", &other, &english, "").await.body;
    assert!(page.contains("<html lang=\"de\" data-zone=\"Pacific/Kiritimati\""), "{}", &page[..300]);
    assert!(page.contains("Sprache und Zeitzone gewählt") && page.contains(" +14</time>"));
    let alerts = house.site.send("GET", "/a/firma/alerts", &other, &english, "").await.body;
    assert!(alerts.contains("name=\"zone\" required maxlength=\"64\" value=\"Pacific/Kiritimati\" spellcheck"));
    let asked = house.site.send("GET", "/a/firma/log?lang=en", &other, &english, "").await.body;
    assert!(asked.contains("<html lang=\"en\""), "what is asked for now goes before");

    house.press("/account/choice", &mine, "tongue=&zone=").await;
    let page = house.site.send("GET", "/a/firma/log", &other, &english, "").await.body;
    assert!(page.contains("<html lang=\"en\" data-theme") && page.contains(" UTC</time>"));
}

#[tokio::test]
async fn a_password_signs_in_and_all_other_sessions_end_when_it_is_set() {
    let house = House::open().await;
    let (mine, other) = (house.signed_in(house.eva).await, house.signed_in(house.eva).await);
    for (weak, sentence) in [("kurz", "too short"), ("aaaaaaaaaaaaaaaa", "too easy"), ("firma+(owner)", "too easy")] {
        let reply = house.press("/account/password", &mine, &format!("back=firma&password={weak}")).await;
        assert_eq!(reply.status, 422, "{weak}");
        assert!(reply.body.contains(sentence) && !reply.body.contains("kurz"), "{weak}");
    }
    assert_eq!(house.site.get("/a/firma", &other).await.status, 200, "nothing happened yet");
    let reply = house.press("/account/password", &mine, "back=firma&password=correct+horse+battery").await;
    assert_eq!(reply.header("location"), Some("/a/firma/account?done=password"));
    assert_eq!(house.site.get("/a/firma", &other).await.status, 401);
    assert_eq!(house.site.get("/a/firma", &mine).await.status, 200);

    for name in ["firma", "firma+(owner)"] {
        let reply = house.site.post("/sign-in", "", &format!("name={name}&password=correct+horse+battery")).await;
        assert_eq!((reply.status, reply.header("location")), (303, Some("/")), "{name}");
        let cookie = Site::cookie_of(&reply);
        assert_eq!(house.site.get("/a/firma", &cookie).await.status, 200);
    }
    let elsewhere =
        house.site.post_from("https://evil.example", "/sign-in", "", "name=firma&password=correct+horse+battery").await;
    assert_eq!(elsewhere.status, 403, "nobody is signed in by another site's form");
    assert!(house.noted().await.contains(&"session.password".to_owned()));

    house.press("/account/password", &mine, "back=firma&which=remove").await;
    let gone = house.site.post("/sign-in", "", "name=firma&password=correct+horse+battery").await;
    assert_eq!(gone.status, 422);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let house = House::open().await;
    let mine = house.signed_in(house.eva).await;
    house.press("/account/password", &mine, "password=correct+horse+battery").await;
    let body = |name: &str| format!("name={name}&password=correct+horse+battery+2");
    let wrong = house.site.post("/sign-in", "lang=en", &body("firma")).await;
    let unknown = house.site.post("/sign-in", "lang=en", &body("nobod")).await;
    assert_eq!((wrong.status, unknown.status), (422, 422));
    assert_eq!(wrong.body.replace("value=\"firma\"", ""), unknown.body.replace("value=\"nobod\"", ""));
    assert!(wrong.body.contains("Name or password is wrong."));
    let hostile = house.site.post("/sign-in", "", "name=%3Cscript%3Ealert(1)%3C/script%3E&password=x").await;
    assert!(!hostile.body.contains("<script>alert"));
    let long = house.site.post("/sign-in", "", &format!("name=firma&password={}", "a".repeat(9_000))).await;
    assert_eq!(long.status, 422);
}

#[tokio::test]
async fn who_tries_too_often_has_to_wait_whether_the_name_is_known_or_not() {
    let house = House::open().await;
    for name in ["firma", "nobody"] {
        for n in 0..10 {
            let reply = house.site.post("/sign-in", "", &format!("name={name}&password=wrong-{n}")).await;
            assert_eq!(reply.status, 422, "{name} {n}");
        }
    }
    let reply = house.site.post("/sign-in", "lang=en", "name=firma&password=correct+horse+battery").await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("900")));
    assert!(reply.body.contains("Too many tries"));
    let mine = house.signed_in(house.eva).await;
    assert_eq!(house.site.get("/a/firma", &mine).await.status, 200, "who is signed in stays so");
}

#[tokio::test]
async fn the_data_of_an_account_is_one_document_without_text_of_messages() {
    let house = House::open().await;
    house.site.go_offline();
    let mine = house.signed_in(house.eva).await;
    let reply = house.site.get("/a/firma/account/export", &mine).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.header("content-disposition"), Some("attachment; filename=\"pulsemx-firma.json\""));
    let data: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(data["account"]["name"], "firma");
    assert_eq!(data["mail_servers"][0]["host"], "firma.dyn.example");
    assert_eq!(data["domains"].as_array().unwrap().len(), 2);
    assert_eq!(data["you"]["name"], "firma (owner)");
    assert_eq!(data["you"]["sessions"].as_array().unwrap().len(), 1);
    let held = house.site.spool.messages.lock().unwrap().len();
    assert_eq!(data["messages"].as_array().unwrap().len(), held);
    assert!(data["messages"][0]["recipients"][0]["mailbox"].as_str().unwrap().contains('@'));
    assert!(!data["history"].as_array().unwrap().is_empty() && !data["days"].as_array().unwrap().is_empty());
    assert_eq!(house.noted().await[0], "account.export", "and it is noted");
    assert!(data["log"].to_string().contains("account.export"));
    for secret in ["bearer", "mac_key", "sealed", "hash", "secret_hash"] {
        assert!(!reply.body.contains(&format!("\"{secret}")), "{secret}");
    }

    let operator = house.signed_in(house.somebody("operator", None).await).await;
    assert_eq!(house.site.get("/a/firma/account/export", &operator).await.status, 403);
    assert_eq!(house.site.get("/a/firma/account/export", "").await.status, 401);
    *house.site.spool.is_broken.lock().unwrap() = true;
    let broken = house.site.get("/a/firma/account/export", &mine).await;
    assert!(broken.status == 503 && broken.header("content-disposition").is_none(), "no document by mistake");
}

#[tokio::test]
async fn the_data_of_many_messages_is_one_document_too() {
    let house = House::open().await;
    let ids = pulsemx::base::SpoolIds::default();
    let rows =
        (0..1_234).map(|n| fakes::message(&ids, FIRMA, n, &format!("s{n}@x.example"), "a@firma.example", HOSTILE));
    *house.site.spool.messages.lock().unwrap() = rows.rev().collect();
    let mine = house.signed_in(house.eva).await;
    let reply = house.site.get("/a/firma/account/export", &mine).await;
    let data: serde_json::Value = serde_json::from_str(reply.body.trim()).unwrap();
    let messages = data["messages"].as_array().unwrap();
    let senders: std::collections::HashSet<&str> =
        messages.iter().map(|m| m["reverse_path"].as_str().unwrap()).collect();
    assert_eq!((messages.len(), senders.len()), (1_234, 1_234));
}

#[tokio::test]
async fn the_owner_leaves_by_typing_the_name_and_may_stay_after_all() {
    let house = House::open().await;
    let status = || async { house.store.load_directory(fakes::ago(0)).await.unwrap().account(FIRMA).unwrap().status };
    let mine = house.signed_in(house.eva).await;
    let wrong = house.press("/a/firma/account/leave", &mine, "name=firm").await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("Nothing has happened"));
    let technician = house.signed_in(house.somebody("Tom", Some(Role::Technician)).await).await;
    assert_eq!(house.press("/a/firma/account/leave", &technician, "name=firma").await.status, 403);
    assert!(!house.site.get("/a/firma/account", &technician).await.body.contains("/account/leave"));
    assert_eq!(house.site.post("/a/firma/account/leave", &mine, "name=firma").await.status, 403, "only by our form");
    assert_eq!(status().await, AccountStatus::Active);

    let reply = house.press("/a/firma/account/leave", &mine, "name=firma").await;
    assert_eq!(reply.header("location"), Some("/a/firma/account?done=leaving"));
    assert_eq!(status().await, AccountStatus::Leaving);
    assert!(house.noted().await[0].starts_with("account.status firma leaving"));
    let page = house.site.get("/a/firma/account", &mine).await.body;
    assert!(page.contains("This account leaves.") && page.contains("value=\"stay\""), "known at once");
    house.press("/a/firma/account/leave", &mine, "which=stay").await;
    assert_eq!(status().await, AccountStatus::Active);

    house.store.set_status(FIRMA, AccountStatus::Suspended, change()).await.unwrap();
    let site = Site::over(&house.store, Settings::default()).await;
    let body = format!("csrf={}&which=stay", site.token(&mine).await);
    assert_eq!(site.post("/a/firma/account/leave", &mine, &body).await.status, 403, "the operator's word stands");
}

#[tokio::test]
async fn somebody_with_several_accounts_has_a_page_of_the_own() {
    let house = House::open().await;
    let mine = house.signed_in(house.eva).await;
    assert_eq!(
        house.site.get("/account?done=saved", &mine).await.header("location"),
        Some("/a/firma/account?done=saved")
    );
    let operator = house.signed_in(house.somebody("operator", None).await).await;
    let page = house.site.get("/account", &operator).await;
    assert!(page.status == 200 && page.body.contains("Signed-in browsers") && !page.body.contains("/leave"));
    assert_eq!(house.site.get("/a/firma/account", &operator).await.header("location"), Some("/account"));
    let reply = house.press("/account/choice", &operator, "tongue=en&zone=").await;
    assert_eq!(reply.header("location"), Some("/account?done=saved"));
    assert_eq!(house.site.get("/account", "").await.status, 401);
}
