//! Looks at domains: what the pages show of required and found records, who may ask and how often.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pulsemx::base::{AccountId, DomainName};
use pulsemx::liveness::{LineEvent, LineState};
use pulsemx::survey::Look;
use pulsemx::survey::facts::{Answer, Exchange, Expected, Facts, Host, Port, Primary, Sts};
use tokio::sync::Semaphore;

use crate::fakes::{self, FIRMA, OPERATOR, OWNER, VIEWER};
use crate::site::Site;

/// A public DNS that says what the test wants it to say, once the test lets it.
pub struct FakeLook {
    pub exchanges: Mutex<Vec<(u16, String)>>,
    pub is_parked: Mutex<bool>,
    pub asked: Mutex<Vec<String>>,
    pub gate: Semaphore,
}

impl FakeLook {
    pub fn open(exchanges: &[(u16, &str)]) -> Arc<Self> {
        let exchanges = exchanges.iter().map(|(n, host)| (*n, (*host).to_owned())).collect();
        Arc::new(Self {
            exchanges: Mutex::new(exchanges),
            is_parked: Mutex::default(),
            asked: Mutex::default(),
            gate: Semaphore::new(1_000),
        })
    }
}

fn found<T>(values: Vec<T>) -> Answer<T> {
    if values.is_empty() { Answer::Nothing } else { Answer::Found { values, ttl_s: 300 } }
}

#[async_trait]
impl Look for FakeLook {
    async fn expected(&self, account: AccountId, domain: &DomainName) -> Result<Expected, String> {
        assert_eq!(account, FIRMA);
        let is_parked = *self.is_parked.lock().unwrap();
        let primary = Primary {
            host: DomainName::parse("firma.dyn.example").unwrap(),
            addresses: vec!["203.0.113.87".parse().unwrap()],
            is_dynamic: true,
            is_parked,
        };
        Ok(Expected {
            domain: domain.clone(),
            is_served: domain.as_str() == "firma.example",
            primaries: vec![primary],
            hostname: DomainName::parse("localhost").unwrap(),
            own_addresses: vec!["192.0.2.1".parse().unwrap()],
            zone_servers: None,
        })
    }

    async fn facts(&self, expected: &Expected) -> Facts {
        self.asked.lock().unwrap().push(expected.domain.to_string());
        self.gate.acquire().await.unwrap().forget();
        let exchange = |(preference, host): &(u16, String)| Exchange { preference: *preference, host: host.clone() };
        let host = |address: &str| Host {
            alias: None,
            addresses: Answer::Found { values: vec![address.parse().unwrap()], ttl_s: 30 },
            has_tlsa: Some(false),
        };
        let closed = Port::Closed("Connection refused".to_owned());
        Facts {
            name_servers: found(vec!["ns1.provider.example".to_owned()]),
            exchanges: found(self.exchanges.lock().unwrap().iter().map(exchange).collect()),
            spf: found(vec!["v=spf1 mx -all".to_owned()]),
            sts: Sts::Absent,
            hosts: BTreeMap::from([
                ("firma.dyn.example".to_owned(), host("203.0.113.87")),
                ("localhost".to_owned(), host("192.0.2.1")),
            ]),
            ports: BTreeMap::from([(("firma.dyn.example".to_owned(), "203.0.113.87".parse().unwrap()), closed)]),
            pointers: BTreeMap::new(),
            own_spf: found(vec!["v=spf1 a -all".to_owned()]),
        }
    }

    fn name_servers(&self) -> Vec<DomainName> {
        vec![DomainName::parse("ns1.pulsemx.example").unwrap()]
    }
}

/// Presses the button and waits until the page shows what was seen.
pub async fn look(site: &Site, cookie: &str, form: &str) -> String {
    let body = format!("csrf={}&{form}", site.token(cookie).await);
    let mut stream = site.stream("/a/firma/events?look=1", cookie).await;
    stream.event().await;
    let reply = site.post("/a/firma/domains/look", cookie, &body).await;
    assert_eq!(reply.status, 303, "{}", reply.body);
    while stream.event().await["looked"].is_null() {}
    reply.header("location").unwrap().to_owned()
}

#[tokio::test]
async fn records_are_shown_as_required_and_as_found_with_a_verdict_in_words() {
    let dns = FakeLook::open(&[(10, "localhost"), (20, "firma.dyn.example"), (30, "mx.<b>alt</b>.example")]);
    let site = Site::looking(Arc::clone(&dns)).await;
    let cookie = site.signed_in(OWNER);
    let page = site.get("/a/firma/domains?lang=en", &cookie).await.body;
    assert!(page.contains("Not looked at yet") && page.contains("value=\"firma.dyn.example.\""), "{page}");
    assert!(!page.contains("comes before your server"));
    assert_eq!(look(&site, &cookie, "back=domains").await, "/a/firma/domains");
    let page = site.get("/a/firma/domains?lang=en", &cookie).await.body;
    for wanted in [
        "Something has to change",
        "comes before your server",
        "Give it a higher number than your server has",
        "10 localhost. (TTL 300 s)",
        "somebody else, after us",
        "mx.&#60;b&#62;alt&#60;/b&#62;.example",
        "firma.dyn.example. → 203.0.113.87",
        "203.0.113.87 (TTL 30 s)",
        "Open port 25 in the router",
        "aria-label=\"Priority, MX 10 firma.example.\"",
    ] {
        assert!(page.contains(wanted), "{wanted} is missing in {page}");
    }
    let german = site.get("/a/firma/domains?lang=de", &cookie).await.body;
    assert!(german.contains("steht vor Ihrem Server") && german.contains("Etwas ist zu ändern"));
    // A null MX, and nothing at all.
    assert_eq!(*dns.asked.lock().unwrap(), ["firma.example"]);
}

#[tokio::test]
async fn an_account_looks_once_a_minute_and_the_page_says_so() {
    let site = Site::looking(FakeLook::open(&[(10, "firma.dyn.example"), (20, "localhost")])).await;
    let cookie = site.signed_in(VIEWER);
    look(&site, &cookie, "").await;
    let page = site.get("/a/firma/domains?lang=en", &cookie).await.body;
    assert!(page.contains("Right, with remarks"), "port 25 is closed: {page}");
    let body = format!("csrf={}", site.token(&cookie).await);
    let again = site.post("/a/firma/domains/look", &cookie, &body).await;
    assert_eq!((again.status, again.header("location")), (303, Some("/a/firma/domains?done=soon")));
    assert!(site.get("/a/firma/domains?done=soon&lang=en", &cookie).await.body.contains("Wait a minute"));
    // Not without the token of the session, not from elsewhere, not for others; the operator leaves a trace.
    assert_eq!(site.post("/a/firma/domains/look", &cookie, "csrf=x").await.status, 403);
    assert_eq!(site.post_from("https://evil.example", "/a/firma/domains/look", &cookie, &body).await.status, 403);
    assert_eq!(site.post("/a/praxis-beispiel/domains/look", &cookie, &body).await.status, 404);
    let operator = site.signed_in(OPERATOR);
    let body = format!("csrf={}", site.token(&operator).await);
    assert_eq!(site.post("/a/firma/domains/look", &operator, &body).await.status, 303);
    assert_eq!(site.accounts.audit.lock().unwrap()[0].what, "look.domains");
    // A site where nobody can look offers no button.
    let blind = Site::open().await;
    let cookie = blind.signed_in(OWNER);
    assert!(!blind.get("/a/firma/domains", &cookie).await.body.contains("domains/look"));
    let body = format!("csrf={}", blind.token(&cookie).await);
    assert_eq!(blind.post("/a/firma/domains/look", &cookie, &body).await.status, 404);
}

#[tokio::test]
async fn the_second_step_ticks_on_the_open_page_when_the_records_are_right() {
    let dns = FakeLook::open(&[(10, "firma.dyn.example"), (20, "localhost")]);
    dns.gate.forget_permits(1_000);
    let site = Site::looking(Arc::clone(&dns)).await;
    let cookie = site.signed_in(OWNER);
    let page = site.get("/a/firma/setup?lang=en", &cookie).await.body;
    assert!(page.contains("data-live=\"/a/firma/events?look=1\""));
    assert!(page.contains("<span class=\"badge tone-ok\" data-opt=\"dns_ok\" hidden>"));
    let mut stream = site.stream("/a/firma/events?look=1&lang=en", &cookie).await;
    let first = stream.event().await;
    assert_eq!((&first["dns_ok"], &first["looking"]), (&false.into(), &false.into()));
    let body = format!("csrf={}&back=setup", site.token(&cookie).await);
    let reply = site.post("/a/firma/domains/look", &cookie, &body).await;
    assert_eq!(reply.header("location"), Some("/a/firma/setup"));
    assert_eq!(stream.event().await["looking"], true);
    let running = site.get("/a/firma/setup?lang=en", &cookie).await.body;
    assert!(running.contains("<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>"));
    dns.gate.add_permits(1);
    let news = stream.event().await;
    assert_eq!((&news["dns_ok"], &news["looking"]), (&true.into(), &false.into()), "{news:#}");
    assert_eq!(news["cards"][0]["rows"][0]["verdict"], "right");
    assert_eq!(news["cards"][0]["badges"][0]["tone"], "warn", "port 25 is closed");
    assert_eq!(news["dns_says"], "All records that we can see are right.");
    // A page that did not ask for it is sent none of it.
    assert!(site.stream("/a/firma/events", &cookie).await.event().await["cards"].is_null());
    let row = fakes::history(Some(9))[0].clone();
    *site.lines.line.lock().unwrap() = Some(fakes::line(LineState::Online, 1));
    site.lines.events.send(LineEvent::Changed(row)).unwrap();
    assert_eq!(stream.event().await["dns_ok"], true, "it stays");
}

#[tokio::test]
async fn a_typed_domain_gets_four_ways_and_is_looked_at_besides() {
    let dns = FakeLook::open(&[(5, "mx.heute.example")]);
    let site = Site::looking(Arc::clone(&dns)).await;
    let cookie = site.signed_in(OWNER);
    let page = site.get("/a/firma/setup?domain=Neu.example.&lang=en", &cookie).await.body;
    for wanted in [
        "<b>A</b> We host the whole zone",
        "value=\"ns1.pulsemx.example.\"",
        "<b>B</b> Two MX records",
        "value=\"firma.dyn.example.\"",
        "name@neu.example to name@firma.dyn.example",
        "<b>D</b> No mail can come in",
        "pulsemx domain add firma neu.example",
        "data-live=\"/a/firma/events?look=1&amp;domain=neu.example\"",
    ] {
        assert!(page.contains(wanted), "{wanted} is missing in {page}");
    }
    assert!(!page.contains("mx.heute.example"), "nobody looked");
    let back = look(&site, &cookie, "back=setup&domain=neu.example").await;
    assert_eq!(back, "/a/firma/setup?domain=neu.example");
    assert_eq!(*dns.asked.lock().unwrap(), ["neu.example", "firma.example"]);
    let page = site.get(&format!("{back}&lang=en"), &cookie).await.body;
    assert!(page.contains("Today its mail goes to: mx.heute.example."), "{page}");
    // Whether others have it is nobody's business: the same answer as for a free one.
    let foreign = site.get("/a/firma/setup?domain=praxis.example&lang=en", &cookie).await.body;
    assert!(foreign.contains("Records for praxis.example") && foreign.contains("domain add firma praxis.example"));
    // What is no domain is left out.
    let odd = site.signed_in(OWNER);
    let body = format!("csrf={}&domain=-x-%0d%0aSet-Cookie:a&back=setup", site.token(&odd).await);
    let reply = site.post("/a/firma/domains/look", &odd, &body).await;
    assert_eq!(reply.header("location"), Some("/a/firma/setup?done=soon"), "{reply:?}");
}
