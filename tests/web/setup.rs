//! The page about set-up: what it proposes, what it can see, and who gets a code.

use pulsemx::base::EndpointId;
use pulsemx::liveness::{LineEvent, LineState};

use crate::fakes::{self, FIRMA, OPERATOR, OWNER, VIEWER};
use crate::site::Site;

#[tokio::test]
async fn a_typed_domain_gets_a_proposal_and_a_served_one_is_not_proposed_again() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let page = site.get("/a/firma/setup?domain=Neu.example.&lang=en", &cookie).await;
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("Records for neu.example") && page.body.contains("pulsemx domain add firma neu.example")
    );
    let german = site.get("/a/firma/setup?domain=neu.example&lang=de", &cookie).await;
    assert!(german.body.contains("Einträge für neu.example"));
    let served = site.get("/a/firma/setup?domain=firma.example&lang=en", &cookie).await;
    assert!(!served.body.contains("Records for") && served.body.contains("value=\"firma.dyn.example.\""));
    assert!(served.body.contains("value=\"localhost.\""), "the second record is ours");
    for odd in ["-x-", "a b", "%3Cscript%3Ealert(1)%3C/script%3E"] {
        let page = site.get(&format!("/a/firma/setup?lang=en&domain={}", odd.replace(' ', "+")), &cookie).await;
        assert!(page.body.contains("That is no domain") && !page.body.contains("<script>alert"), "{odd}");
    }
}

#[tokio::test]
async fn each_step_has_its_tick_and_the_first_follows_by_itself() {
    let site = Site::open().await;
    *site.lines.line.lock().unwrap() = Some(fakes::line(LineState::New, 0));
    site.lines.line.lock().unwrap().as_mut().unwrap().last_beat_at = None;
    let cookie = site.signed_in(OWNER);
    let page = site.get("/a/firma/setup?lang=en", &cookie).await.body;
    assert!(page.contains("data-live=\"/a/firma/events?look=1\""));
    assert!(page.contains("<span class=\"badge tone-ok\" data-opt=\"last_beat\" hidden>"));
    assert!(
        page.contains("href=\"/a/firma/drill\"")
            && page.contains("neither a drill nor an outage")
            && page.contains("Enter the lines at your DNS provider")
    );
    let mut stream = site.stream("/a/firma/events", &cookie).await;
    assert!(stream.event().await["last_beat"].is_null());
    *site.lines.line.lock().unwrap() = Some(fakes::line(LineState::Online, 1));
    let row = fakes::history(Some(9))[0].clone();
    site.lines.events.send(LineEvent::Changed(row)).unwrap();
    assert!(stream.event().await["last_beat"]["ms"].is_number());
    *site.log.rows.lock().unwrap() = fakes::history(None);
    let lines = "@ 300 IN MX 10 firma.dyn.example.\n@ 300 IN MX 20 localhost.";
    *site.names.zones.lock().unwrap() = vec![fakes::zone(FIRMA, "firma.example", lines)];
    let page = site.get("/a/firma/setup?lang=en", &cookie).await.body;
    assert!(page.contains("<span class=\"badge tone-ok\" data-opt=\"last_beat\">"));
    assert!(page.contains("came to its end") && page.contains("All records that we can see are right"));
    let lines = "@ 300 IN MX 10 firma.dyn.example.";
    *site.names.zones.lock().unwrap() = vec![fakes::zone(FIRMA, "firma.example", lines)];
    assert!(site.get("/a/firma/setup?lang=en", &cookie).await.body.contains("is missing in your zone with us"));
}

#[tokio::test]
async fn a_code_for_a_client_is_shown_once_works_once_and_is_in_the_log() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let body = format!("csrf={}", site.token(&cookie).await);
    let page = site.post("/a/firma/setup/code?lang=en", &cookie, &body).await;
    assert_eq!(page.status, 200);
    let line = page.attribute("value=\"pulsemx-beat join https://mx2.example/join/");
    let code = line.split(' ').next().unwrap();
    assert!(page.body.contains("pulsemx-beat install --server mx2.example:5525 --token-file"));
    assert!(!site.get("/a/firma/setup", &cookie).await.body.contains(code));
    assert_eq!(site.accounts.audit.lock().unwrap()[0].what, "join.code firma.dyn.example");
    assert_eq!(site.codes.redeem(code, fakes::ago(0)), Some(EndpointId(1)));
    assert_eq!(site.codes.redeem(code, fakes::ago(0)), None);
    let again = site.post("/a/firma/setup/code?lang=en", &cookie, &body).await;
    assert_eq!(again.status, 429);
    assert!(!again.body.contains("/join/"));
}

#[tokio::test]
async fn only_those_who_may_change_the_account_get_a_code() {
    let site = Site::open().await;
    let owner = site.signed_in(OWNER);
    assert_eq!(site.get("/a/firma/setup", "").await.status, 401);
    assert_eq!(site.get("/a/praxis-beispiel/setup", &owner).await.status, 404);
    assert_eq!(site.post("/a/firma/setup/code", &owner, "csrf=x").await.status, 403);
    let token = format!("csrf={}", site.token(&owner).await);
    assert_eq!(site.post_from("https://evil.example", "/a/firma/setup/code", &owner, &token).await.status, 403);
    for person in [VIEWER, OPERATOR] {
        let cookie = site.signed_in(person);
        let body = format!("csrf={}", site.token(&cookie).await);
        assert_eq!(site.post("/a/firma/setup/code", &cookie, &body).await.status, 403);
        let page = site.get("/a/firma/setup", &cookie).await.body;
        assert!(page.contains("pulsemx account join firma") && !page.contains("/setup/code"));
    }
    assert_eq!(site.accounts.audit.lock().unwrap()[0].what, "look.setup");
}
