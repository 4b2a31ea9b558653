//! The page about alerts: what goes in, what comes out, and who may.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pulsemx::account::{Change, DirectoryHandle, SealKey};
use pulsemx::alert::{self, AlertError, AlertRows, AlertStore, Alerts, ChannelRow, OutboxChange, Record, Terms, post};
use pulsemx::base::AccountId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::fakes::{self, FIRMA, HOSTILE, OPERATOR, OTHER, OWNER, VIEWER};
use crate::site::Site;

const SECRET: &str = "tk_very-secret-token-0123456789";

#[derive(Default)]
pub struct FakeAlerts {
    pub rows: Mutex<AlertRows>,
}

#[async_trait]
impl AlertStore for FakeAlerts {
    async fn load_alerts(&self) -> Result<AlertRows, AlertError> {
        Ok(self.rows.lock().unwrap().clone())
    }
    async fn add_channel(&self, mut channel: ChannelRow, _: String, _: Change) -> Result<i64, AlertError> {
        let mut rows = self.rows.lock().unwrap();
        channel.id = rows.channels.iter().map(|row| row.id).max().unwrap_or(0) + 1;
        rows.channels.push(channel);
        Ok(rows.channels.last().unwrap().id)
    }
    async fn remove_channel(&self, account: Option<AccountId>, id: i64, _: Change) -> Result<(), AlertError> {
        let mut rows = self.rows.lock().unwrap();
        let before = rows.channels.len();
        rows.channels.retain(|row| row.id != id || row.account != account);
        if rows.channels.len() == before { Err(AlertError::NoChannel(id)) } else { Ok(()) }
    }
    async fn settle_configured(&self, _: Vec<ChannelRow>) -> Result<(), AlertError> {
        Ok(())
    }
    async fn write_outbox(&self, changes: Vec<OutboxChange>) -> Result<(), AlertError> {
        let mut rows = self.rows.lock().unwrap();
        for change in changes {
            match change {
                OutboxChange::Note(id, record) => {
                    rows.channels.iter_mut().filter(|row| row.id == id).for_each(|row| row.record = record.clone());
                }
                OutboxChange::Put(alert) => rows.outbox.push(*alert),
                OutboxChange::Drop(id) => rows.outbox.retain(|alert| alert.id != id),
            }
        }
        Ok(())
    }
}

pub async fn office(store: &Arc<FakeAlerts>, shutdown: &CancellationToken) -> Arc<Alerts> {
    let settings = alert::Settings {
        hostname: "mx2.example".to_owned(),
        allow_loopback: true,
        own_addresses: Vec::new(),
        configured: Vec::new(),
    };
    let directory = DirectoryHandle::new(fakes::directory());
    post::driver::start(settings, store.clone(), SealKey::new([7; 32]), directory, shutdown.clone()).await.unwrap()
}

pub fn channel(id: i64, account: AccountId, url: &str, record: Record) -> ChannelRow {
    let mut terms = Terms::ordinary(false);
    terms.set("quiet", "22:00-07:00").unwrap();
    terms.set("zone", "Europe/Berlin").unwrap();
    ChannelRow {
        id,
        account: Some(account),
        url: url.to_owned(),
        sealed: None,
        terms,
        is_configured: false,
        created_at: fakes::ago(9_000),
        record,
    }
}

/// One that works, one that fails in a stranger's words, one that is new.
pub fn some_channels() -> Vec<ChannelRow> {
    let works = Record { last_sent_at: Some(fakes::ago(7_200)), ..Record::default() };
    let fails = Record {
        last_error: Some(format!("hooks.firma.example answered 500: {HOSTILE}")),
        last_error_at: Some(fakes::ago(600)),
        failures: 4,
        failed_total: 9,
        lost_total: 2,
        ..works.clone()
    };
    vec![
        channel(1, FIRMA, "ntfy:https://ntfy.example/firma-mail-7f3k", works),
        channel(2, FIRMA, "webhook:https://hooks.firma.example/path-as-good-as-a-secret", fails),
        channel(3, FIRMA, "mailto:eva@anderswo.example", Record::default()),
        channel(4, OTHER, "ntfy:https://foreign.example/topic", Record::default()),
    ]
}

fn form(token: &str, scheme: &str, place: &str, more: &str) -> String {
    format!(
        "csrf={token}&scheme={scheme}&place={place}&language=de&zone=Europe%2FBerlin&delay=300&kind=silent&recovery=on{more}"
    )
}

/// Answers each request with `status`, and hands over what was sent.
async fn receiver(status: &'static str) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut octets = vec![0; 16 * 1024];
            let n = stream.read(&mut octets).await.unwrap_or(0);
            let _ = sender.send(String::from_utf8_lossy(&octets[..n]).into_owned());
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (format!("http://{address}"), heard)
}

#[tokio::test]
async fn channels_are_listed_with_their_failures_and_without_what_is_secret() {
    let site = Site::busy().await;
    site.alerts.rows.lock().unwrap().channels = some_channels();
    let cookie = site.signed_in(OWNER);
    let page = site.get("/a/firma/alerts?lang=en", &cookie).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("ntfy.example/firm…") && page.body.contains("eva@anderswo.example"));
    assert!(page.body.contains("4 attempts in a row failed") && page.body.contains("answered 500"));
    assert!(page.body.contains("2 given up after a day") && page.body.contains("quiet 22:00–07:00 (Europe/Berlin)"));
    for hidden in ["7f3k", "path-as-good-as-a-secret", "foreign.example", "<script>alert"] {
        assert!(!page.body.contains(hidden), "{hidden}");
    }
    let german = site.get("/a/firma/alerts?lang=de", &cookie).await;
    assert!(german.body.contains("4 Versuche in Folge gescheitert") && german.body.contains("Kanal hinzufügen"));
    site.alerts.rows.lock().unwrap().channels.retain(|row| row.id == 2);
    assert!(site.get("/a/firma/alerts?lang=en", &cookie).await.body.contains("No alert reaches you at present"));
}

#[tokio::test]
async fn a_channel_is_added_with_its_terms_and_its_secret_never_comes_back() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let token = site.token(&cookie).await;
    let more = format!("&secret={SECRET}&quiet_from=22%3A00&quiet_to=06%3A30&kind=quota");
    let reply = site.post("/a/firma/alerts", &cookie, &form(&token, "gotify", "https://push.example/", &more)).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/a/firma/alerts?done=added")), "{}", reply.body);
    let row = site.alerts.rows.lock().unwrap().channels[0].clone();
    assert_eq!((row.account, row.url.as_str()), (Some(FIRMA), "gotify:https://push.example/"));
    assert!(row.sealed.is_some_and(|sealed| !sealed.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())));
    assert_eq!(row.terms.quiet.unwrap().to_string(), "22:00-06:30");
    assert_eq!((row.terms.delay, row.terms.zone), (Duration::from_secs(300), "Europe/Berlin".parse().unwrap()));
    assert_eq!(row.terms.kinds.to_string(), "silent,quota");
    assert!(row.terms.recovery && row.terms.language == alert::Language::De);
    let page = site.get("/a/firma/alerts?done=added&lang=en", &cookie).await;
    assert!(page.body.contains("push.example") && !page.body.contains(SECRET));
}

#[tokio::test]
async fn the_key_of_a_new_webhook_is_shown_once() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let token = site.token(&cookie).await;
    let reply = site.post("/a/firma/alerts", &cookie, &form(&token, "webhook", "https://hooks.example/in", "")).await;
    assert_eq!(reply.status, 303, "a reload must not add one more");
    let page = reply.header("location").unwrap().to_owned();
    // Not in another session of the same person.
    assert!(!site.get(&page, &site.signed_in(OWNER)).await.body.contains("class=\"field mono\" readonly"));
    let key = site.get(&page, &cookie).await.attribute("class=\"field mono\" readonly value=\"");
    assert!(key.len() >= 24, "{key}");
    for again in [page.as_str(), "/a/firma/alerts"] {
        assert!(!site.get(again, &cookie).await.body.contains(&key), "{again}");
    }
    assert_eq!(site.alerts.rows.lock().unwrap().channels.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_a_channel_is_refused_with_a_sentence_and_keeps_what_was_typed() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let token = site.token(&cookie).await;
    for (scheme, place, more, german, english) in [
        ("mailto", "chef%40firma.example", "", "Post für firma.example nehmen wir hier an", "is taken here"),
        ("mailto", "a%40b.example", "", "verschickt selbst keine E-Mail", "sends no mail of its own"),
        ("mailto", "nobody", "", "keine E-Mail-Adresse", "no mail address"),
        ("command", "/bin/true", "", "unvollständig", "incomplete"),
        ("ntfy", "https://ntfy.example/", "", "fehlt das Thema", "is missing at the end"),
        ("gotify", "https://push.example/", "", "braucht ein Geheimnis", "needs a secret"),
        ("webhook", "ftp://h.example/", "", "Adresse wie https://", "address such as https://"),
        ("webhook", "https://u:p@h.example/", "", "Name oder Passwort", "name or password"),
        ("webhook", "https://h.example/", "&secret=short-one", "mindestens 24", "at least 24"),
        ("ntfy", "https://n.example/t", "&quiet_from=22:00", "beide Uhrzeiten", "both times"),
        ("ntfy", "https://n.example/t", "&zone=Mars", "keine Zeitzone", "no time zone"),
    ] {
        for (lang, sentence) in [("de", german), ("en", english)] {
            let body = form(&token, scheme, place, &format!("{more}&csrf={token}"));
            let path = format!("/a/firma/alerts?lang={lang}");
            let reply = site.post(&path, &cookie, &body).await;
            assert_eq!(reply.status, 422, "{scheme}:{place}{more}");
            assert!(reply.body.contains(sentence), "{scheme}:{place}{more} in {lang}");
            assert!(!reply.body.contains("short-one"), "a secret came back");
        }
    }
    let reply = site
        .post("/a/firma/alerts?lang=en", &cookie, &format!("csrf={token}&scheme=ntfy&place=https://n.example/topic"))
        .await;
    assert!(reply.body.contains("at least one occasion") && reply.body.contains("value=\"https://n.example/topic\""));
    assert!(site.alerts.rows.lock().unwrap().channels.is_empty());
}

#[tokio::test]
async fn a_test_says_on_the_page_whether_it_got_through_and_keeps_its_distance() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let token = site.token(&cookie).await;
    let body = format!("csrf={token}");
    let (good, mut heard) = receiver("200 OK").await;
    let add = form(&token, "ntfy", &format!("{good}/topic"), "");
    assert_eq!(site.post("/a/firma/alerts", &cookie, &add).await.status, 303);
    let reply = site.post("/a/firma/alerts/1/test?lang=en", &cookie, &body).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/a/firma/alerts?done=tested")), "{}", reply.body);
    assert!(heard.recv().await.unwrap().starts_with("POST "));
    let again = site.post("/a/firma/alerts/1/test?lang=en", &cookie, &body).await;
    assert_eq!(again.status, 429);
    assert!(heard.try_recv().is_err(), "nothing was sent the second time");
    assert_eq!(site.accounts.audit.lock().unwrap()[0].what, "alert.test 1");
}

#[tokio::test]
async fn a_test_that_fails_shows_what_the_other_side_said() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let token = site.token(&cookie).await;
    let body = format!("csrf={token}");
    let (bad, _heard) = receiver("503 Out of order").await;
    let add = form(&token, "ntfy", &format!("{bad}/topic"), "");
    assert_eq!(site.post("/a/firma/alerts", &cookie, &add).await.status, 303);
    let reply = site.post("/a/firma/alerts/1/test?lang=en", &cookie, &body).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.contains("The test did not get through") && reply.body.contains("503"));
}

#[tokio::test]
async fn only_those_who_may_change_the_account_touch_its_channels() {
    let site = Site::open().await;
    site.alerts.rows.lock().unwrap().channels = some_channels();
    let owner = site.signed_in(OWNER);
    let token = site.token(&owner).await;
    let add = form(&token, "ntfy", "https://n.example/t", "");
    assert_eq!(site.get("/a/firma/alerts", "").await.status, 401);
    assert_eq!(site.post("/a/firma/alerts", "", &add).await.status, 401);
    assert_eq!(site.post("/a/firma/alerts", &owner, &add.replace(&token, "x")).await.status, 403);
    assert_eq!(site.post_from("https://evil.example", "/a/firma/alerts", &owner, &add).await.status, 403);
    for person in [VIEWER, OPERATOR] {
        let cookie = site.signed_in(person);
        let page = site.get("/a/firma/alerts", &cookie).await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("name=\"place\"") && !page.body.contains("/alerts/1/test"));
        let token = site.token(&cookie).await;
        for (path, body) in [
            ("/a/firma/alerts", form(&token, "ntfy", "https://n.example/t", "")),
            ("/a/firma/alerts/1/test", format!("csrf={token}")),
            ("/a/firma/alerts/1/remove", format!("csrf={token}")),
        ] {
            assert_eq!(site.post(path, &cookie, &body).await.status, 403, "{path}");
        }
    }
    assert_eq!(site.accounts.audit.lock().unwrap()[0].what, "look.alerts", "the operator's look is in the log");
    let body = format!("csrf={token}");
    assert_eq!(site.post("/a/firma/alerts/4/remove", &owner, &body).await.status, 404, "a channel of others");
    assert_eq!(site.post("/a/firma/alerts/4/test", &owner, &body).await.status, 404);
    assert_eq!(site.post("/a/firma/alerts/zzz/remove", &owner, &body).await.status, 404);
    assert_eq!(site.alerts.rows.lock().unwrap().channels.len(), 4);
    assert_eq!(site.post("/a/firma/alerts/1/remove", &owner, &body).await.status, 303);
    assert!(!site.alerts.rows.lock().unwrap().channels.iter().any(|row| row.id == 1));
}
