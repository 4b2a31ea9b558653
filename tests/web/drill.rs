//! The button of the fire drill: what it starts, what is shown meanwhile and afterwards, who may press it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pulsemx::account::{Change, DirectoryHandle};
use pulsemx::base::{AccountId, DomainName, Mailbox, Moment, SpoolIds};
use pulsemx::delivery::MailPaths;
use pulsemx::drill::{DrillError, DrillStore, Drills, Record, Rooms, Settings};
use pulsemx::liveness::LineState;
use pulsemx::spool::{DeliveryReply, RecipientState};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::fakes::{self, FIRMA, FakeFlushes, FakeLines, FakeSpool, OPERATOR, OWNER, VIEWER, line, message};
use crate::site::{Reply, Site};

/// Stands for the door, the primary and the store of drills.
pub struct Stage {
    spool: Arc<FakeSpool>,
    /// A permit lets one message through the door.
    pub door: Semaphore,
    /// What the primary says to it, if not yes.
    pub refusal: Mutex<Option<String>>,
    pub written: Mutex<Vec<String>>,
}

impl Stage {
    pub async fn set(
        (lines, spool, flushes): (&Arc<FakeLines>, &Arc<FakeSpool>, &Arc<FakeFlushes>),
        pages: &broadcast::Sender<AccountId>,
        shutdown: &CancellationToken,
    ) -> (Arc<Drills>, Arc<Self>) {
        let stage = Arc::new(Self {
            spool: Arc::clone(spool),
            door: Semaphore::new(0),
            refusal: Mutex::default(),
            written: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let smtp = listener.local_addr().unwrap();
        tokio::spawn(Arc::clone(&stage).receive(listener));
        let rooms = Rooms {
            directory: DirectoryHandle::new(fakes::directory()),
            lines: Arc::clone(lines) as _,
            spool: Arc::clone(spool) as _,
            flushes: Arc::clone(flushes) as _,
            paths: Arc::clone(&stage) as _,
            store: Arc::clone(&stage) as _,
            pages: pages.clone(),
            surveyor: None,
        };
        (Drills::start(settings(smtp), rooms, shutdown.clone()).await.unwrap(), stage)
    }

    async fn receive(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let stage = Arc::clone(&self);
            tokio::spawn(async move { stage.converse(stream).await });
        }
    }

    async fn converse(&self, stream: tokio::net::TcpStream) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 door ESMTP\r\n").await?;
        let mut is_content = false;
        while let Some(text) = lines.next_line().await? {
            let reply = match text.as_str() {
                "." => {
                    is_content = false;
                    self.door.acquire().await.unwrap().forget();
                    let mail = message(&SpoolIds::default(), FIRMA, 0, "a@b.example", "x@firma.example", "drill");
                    let id = mail.row.id;
                    self.spool.messages.lock().unwrap().push(mail);
                    format!("250 2.0.0 {id} held for firma.example\r\n")
                }
                _ if is_content => continue,
                "DATA" => {
                    is_content = true;
                    "354 go\r\n".to_owned()
                }
                _ => "250 2.0.0 ok\r\n".to_owned(),
            };
            write.write_all(reply.as_bytes()).await?;
        }
        Ok(())
    }
}

fn settings(smtp: SocketAddr) -> Settings {
    let hostname = DomainName::parse("mx2.pulse.example").unwrap();
    Settings { from: Mailbox::postmaster(&hostname), hostname, smtp }
}

impl MailPaths for Stage {
    fn cut(&self, _: AccountId, _: Moment) {}
    fn mend(&self, _: AccountId) {
        let refusal = self.refusal.lock().unwrap().clone();
        for mail in self.spool.messages.lock().unwrap().iter_mut().filter(|mail| mail.row.subject == "drill") {
            let recipient = &mut mail.row.recipients[0];
            match &refusal {
                None => recipient.state = RecipientState::Delivered,
                Some(text) => {
                    recipient.state = RecipientState::Refused;
                    recipient.last_reply = Some(DeliveryReply { code: Some(550), text: text.clone() });
                }
            }
        }
    }
}

#[async_trait]
impl DrillStore for Stage {
    async fn drills(&self) -> Result<Vec<(AccountId, Record)>, DrillError> {
        Ok(Vec::new())
    }
    async fn put_drill(&self, account: AccountId, _: Record, what: String, change: Change) -> Result<(), DrillError> {
        assert_eq!(account, FIRMA);
        self.written.lock().unwrap().push(format!("{} {what}", change.who));
        Ok(())
    }
}

async fn press(site: &Site, cookie: &str, more: &str) -> Reply {
    let body = format!("csrf={}{more}", site.token(cookie).await);
    site.post("/a/firma/drill", cookie, &body).await
}

/// The page, once no drill runs.
async fn ended(site: &Site, cookie: &str, lang: &str) -> String {
    for _ in 0..600 {
        let page = site.get(&format!("/a/firma/drill?lang={lang}"), cookie).await;
        if page.header("refresh").is_none() {
            return page.body;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the drill does not end");
}

#[tokio::test]
async fn the_button_starts_a_drill_whose_steps_and_result_are_shown_with_and_without_scripts() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let status = site.get("/a/firma?lang=en", &cookie).await.body;
    assert!(status.contains("Never tried.") && status.contains("action=\"/a/firma/drill\""), "{status}");
    let mut stream = site.stream("/a/firma/events?lang=en", &cookie).await;
    assert!(stream.event().await["drill_never"].as_str().unwrap().starts_with("Never tried."));

    let begun = press(&site, &cookie, "&to=").await;
    assert_eq!((begun.status, begun.header("location")), (303, Some("/a/firma/drill")));
    let page = site.get("/a/firma/drill?lang=de", &cookie).await;
    assert_eq!((page.status, page.header("refresh")), (200, Some("1")), "without scripts the page comes again");
    assert!(page.body.contains("Die Probe läuft") && page.body.contains("Postweg dieses Kontos getrennt"));
    assert!(!page.body.contains("Probe starten"), "one at a time");
    let twice = press(&site, &cookie, "&lang=en").await;
    assert_eq!(twice.status, 409);
    site.stage.door.add_permits(1);

    let body = ended(&site, &cookie, "en").await;
    assert!(body.contains("Last drill: passed, 0.") && body.contains("Your backup works: held after"), "{body}");
    assert!(body.contains("test message delivered to your server"));
    let status = site.get("/a/firma?lang=de", &cookie).await.body;
    assert!(status.contains("Letzte Probe: bestanden, 0,") && status.contains("Testnachricht liegt im Spool"));
    // An open page is told by itself, without being asked.
    let last = loop {
        let event = stream.event().await;
        if event["drill_steps"].as_array().unwrap().len() == 5 && event["drill_last"][0]["tone"] == "ok" {
            break event;
        }
    };
    assert!(last["drill_last"][0]["title"].as_str().unwrap().starts_with("Last drill: passed"));
    let written = site.stage.written.lock().unwrap().clone();
    assert_eq!(written.len(), 2, "{written:?}");
    assert!(written[0].ends_with(" drill.start postmaster@firma.example"), "{written:?}");
    assert!(written[1].contains(" drill.end Your backup works"), "{written:?}");
}

#[tokio::test]
async fn what_a_primary_says_to_a_drill_is_shown_as_text() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    *site.stage.refusal.lock().unwrap() = Some("5.1.1 <script>alert(1)</script>".to_owned());
    site.stage.door.add_permits(1);
    assert_eq!(press(&site, &cookie, "").await.status, 303);
    let body = ended(&site, &cookie, "en").await;
    assert!(body.contains("Last drill: failed") && body.contains("Create the mailbox"), "{body}");
    assert!(!body.contains("<script>alert"), "{body}");
    assert_eq!(site.spool.ruled.lock().unwrap().len(), 1, "its message is taken out again");
}

#[tokio::test]
async fn a_drill_that_cannot_begin_says_why() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let foreign = press(&site, &cookie, "&to=%22%3E%3Cscript%3E%40fremd.example").await;
    assert_eq!(foreign.status, 422);
    assert!(foreign.body.contains("id=\"drill\"") && !foreign.body.contains("<script>@"), "{}", foreign.body);
    *site.lines.line.lock().unwrap() = Some(line(LineState::Offline, 74));
    let away = press(&site, &cookie, "").await;
    assert_eq!(away.status, 409);
    assert!(away.body.contains("OFFLINE") && away.header("refresh").is_none(), "{}", away.body);
    assert!(site.stage.written.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_who_may_change_the_account_starts_a_drill_and_only_from_our_own_page() {
    let site = Site::open().await;
    let owner = site.signed_in(OWNER);
    let token = format!("csrf={}", site.token(&owner).await);
    assert_eq!(site.post_from("https://evil.example", "/a/firma/drill", &owner, &token).await.status, 403);
    assert_eq!(site.post("/a/firma/drill", &owner, "csrf=abc").await.status, 403);
    assert_eq!(site.post("/a/firma/drill", "", &token).await.status, 401);
    for person in [VIEWER, OPERATOR] {
        let cookie = site.signed_in(person);
        let page = site.get("/a/firma?lang=en", &cookie).await.body;
        assert!(page.contains("Fire drill") && !page.contains("Start the drill"), "shown, without a button");
        assert_eq!(press(&site, &cookie, "").await.status, 403);
    }
    assert!(site.stage.written.lock().unwrap().is_empty());
}
