//! Held mail and the log: what is found, what people do to it, what is written down about that.

use bytes::Bytes;
use pulsemx::base::SpoolIds;
use pulsemx::spool::{RecipientState, Ruling};

use crate::fakes::{FIRMA, HOSTILE, OPERATOR, OTHER, OWNER, VIEWER, message, zone};
use crate::site::Site;

async fn csrf(site: &Site, cookie: &str) -> String {
    format!("csrf={}", site.token(cookie).await)
}

#[tokio::test]
async fn a_search_narrows_the_list_and_its_links_keep_it() {
    let site = Site::busy().await;
    let cookie = site.signed_in(OWNER);
    let found = site.get("/a/firma/spool?q=KUNDE.example&lang=en", &cookie).await.body;
    assert_eq!(found.matches("@kunde.example</bdi></a>").count(), 3);
    assert_eq!(found.matches("type=\"checkbox\" name=\"id\" value=").count(), 3);
    assert!(found.contains("value=\"KUNDE.example\"") && found.contains("?filter=refused&amp;q=KUNDE.example&"));
    let exact = site.get("/a/firma/spool?q=alice%40kunde.example", &cookie).await.body;
    assert_eq!(exact.matches("@kunde.example</bdi></a>").count(), 1);
    let none = site.get("/a/firma/spool?q=nobody&lang=en", &cookie).await.body;
    assert!(none.contains("Nothing found."));
    let old = site.get("/a/firma/spool?age=older-day&lang=en", &cookie).await.body;
    assert!(old.contains("Nothing found."));
    let young = site.get("/a/firma/spool?age=hour", &cookie).await.body;
    assert_eq!(young.matches("type=\"checkbox\" name=\"id\" value=").count(), 13, "one is older than an hour");
    let odd =
        site.get("/a/firma/spool?q=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E&age=%22%3E&filter=%22", &cookie).await;
    assert_eq!(odd.status, 200);
    assert!(!odd.body.contains("<script>alert"));
}

#[tokio::test]
async fn a_whole_id_leads_to_its_message_and_to_no_message_of_others() {
    let site = Site::busy().await;
    let foreign = message(&SpoolIds::default(), OTHER, 5, "x@y.example", "geheim@praxis.example", "geheim");
    let (own, others) = (site.spool.messages.lock().unwrap()[1].row.id, foreign.row.id);
    site.spool.messages.lock().unwrap().push(foreign);
    let cookie = site.signed_in(OWNER);
    let there = site.get(&format!("/a/firma/spool?q={own}"), &cookie).await;
    assert_eq!(there.header("location"), Some(format!("/a/firma/spool/{own}").as_str()));
    let nowhere = site.get(&format!("/a/firma/spool?q={others}"), &cookie).await;
    assert_eq!((nowhere.status, nowhere.body.contains("geheim")), (200, false));
}

#[tokio::test]
async fn a_kept_back_message_has_its_filter() {
    let site = Site::busy().await;
    site.spool.messages.lock().unwrap()[2].row.recipients[0].state = RecipientState::Held;
    let page = site.get("/a/firma/spool?filter=kept&lang=en", &site.signed_in(OWNER)).await.body;
    assert_eq!(page.matches("type=\"checkbox\" name=\"id\" value=").count(), 1);
    assert!(page.contains("k.sommer@notar-beispiel.example") && page.contains("held back"));
}

#[tokio::test]
async fn several_messages_are_held_released_and_retried_at_once() {
    let site = Site::busy().await;
    let cookie = site.signed_in(OWNER);
    let csrf = csrf(&site, &cookie).await;
    let ids: Vec<_> = site.spool.messages.lock().unwrap()[1..3].iter().map(|m| m.row.id).collect();
    let body = |deed: &str| format!("{csrf}&filter=waiting&id={}&id={}&id={}&do={deed}", ids[0], ids[1], ids[0]);
    for (deed, said) in
        [("hold", "2 messages held back."), ("release", "2 messages released."), ("retry", "2 messages: will")]
    {
        let done = site.post("/a/firma/spool/do", &cookie, &body(deed)).await;
        let target = format!("/a/firma/spool?filter=waiting&done={deed}&n=2");
        assert_eq!((done.status, done.header("location")), (303, Some(target.as_str())));
        assert!(site.get(&format!("{target}&lang=en"), &cookie).await.body.contains(said), "{deed}");
    }
    let [a, b] = [ids[0], ids[1]];
    assert_eq!(
        *site.spool.ruled.lock().unwrap(),
        [
            format!("hold {a} by Eva Chefin"),
            format!("hold {b} by Eva Chefin"),
            format!("release {a} by Eva Chefin"),
            format!("release {b} by Eva Chefin")
        ]
    );
    assert_eq!(site.spool.retried.lock().unwrap().len(), 2);
    assert_eq!(site.flushes.retried.lock().unwrap().len(), 2, "a hold asks for no delivery");
    let none = site.post("/a/firma/spool/do", &cookie, &format!("{csrf}&do=hold")).await;
    assert_eq!(none.header("location"), Some("/a/firma/spool?filter=held&done=none&n=0"));
}

#[tokio::test]
async fn a_deletion_is_asked_for_twice_and_shows_what_it_is_about() {
    let site = Site::busy().await;
    let cookie = site.signed_in(OWNER);
    let csrf = csrf(&site, &cookie).await;
    let id = site.spool.messages.lock().unwrap()[4].row.id;
    let asked = site.post("/a/firma/spool/do", &cookie, &format!("{csrf}&id={id}&do=delete&one=1")).await;
    assert_eq!(asked.status, 200);
    assert!(asked.body.contains(&format!("name=\"id\" value=\"{id}\"")) && asked.body.contains("name=\"sure\""));
    assert!(!asked.body.contains("<script>alert"));
    assert!(site.spool.ruled.lock().unwrap().is_empty(), "not yet");
    let done = site.post("/a/firma/spool/do", &cookie, &format!("{csrf}&id={id}&do=delete&sure=1")).await;
    assert_eq!(done.header("location"), Some("/a/firma/spool?filter=held&done=delete&n=1"));
    assert_eq!(*site.spool.ruled.lock().unwrap(), [format!("{} {id} by Eva Chefin", Ruling::Drop.as_str())]);
}

#[tokio::test]
async fn nobody_rules_without_session_token_own_page_and_role_nor_about_mail_of_others() {
    let site = Site::busy().await;
    let foreign = message(&SpoolIds::default(), OTHER, 5, "x@y.example", "geheim@praxis.example", "geheim");
    let others = foreign.row.id;
    site.spool.messages.lock().unwrap().push(foreign);
    let shared = {
        let mut all = site.spool.messages.lock().unwrap();
        let mut part = all[1].row.recipients[0].clone();
        part.account = OTHER;
        all[1].row.recipients.push(part);
        all[1].row.id
    };
    let own = site.spool.messages.lock().unwrap()[2].row.id;
    let cookie = site.signed_in(OWNER);
    let path = "/a/firma/spool/do";
    let good = csrf(&site, &cookie).await;
    let about = |csrf: &str, id| format!("{csrf}&id={id}&do=delete&sure=1");
    assert_eq!(site.post(path, "", &about(&good, own)).await.status, 401);
    assert_eq!(site.post(path, &cookie, &about("x=y", own)).await.status, 403);
    assert_eq!(site.post_from("https://evil.example", path, &cookie, &about(&good, own)).await.status, 403);
    for person in [VIEWER, OPERATOR] {
        let cookie = site.signed_in(person);
        let csrf = csrf(&site, &cookie).await;
        assert_eq!(site.post(path, &cookie, &about(&csrf, own)).await.status, 403);
        let list = site.get("/a/firma/spool", &cookie).await.body;
        assert!(!list.contains("/spool/do") && !list.contains("checkbox"), "{person:?}");
    }
    for id in [others, shared] {
        assert_eq!(site.post(path, &cookie, &format!("{}&one=1", about(&good, id))).await.status, 404);
        site.post(path, &cookie, &about(&good, id)).await;
    }
    assert_eq!(site.post(path, &cookie, &format!("{good}&id={own}&do=explode")).await.status, 404);
    assert!(site.spool.ruled.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_download_is_whole_for_the_customer_alone_and_in_the_log() {
    let site = Site::busy().await;
    let id = {
        let mut all = site.spool.messages.lock().unwrap();
        all[4].row.octets = 9;
        all[4].row.id
    };
    *site.spool.content.lock().unwrap() = Some(vec![Bytes::from_static(b"Subject"), Bytes::from_static(b":\n")]);
    let path = format!("/a/firma/spool/{id}/eml");
    for person in [VIEWER, OPERATOR] {
        assert_eq!(site.get(&path, &site.signed_in(person)).await.status, 403, "{person:?}");
    }
    assert_eq!(site.get(&path, "").await.status, 401);
    let cookie = site.signed_in(OWNER);
    let eml = site.get(&path, &cookie).await;
    assert_eq!((eml.status, eml.header("content-type")), (200, Some("message/rfc822")));
    assert!(eml.header("content-disposition").unwrap().starts_with("attachment"));
    assert!(eml.body.starts_with("Received: from") && eml.body.ends_with("\r\nSubject:\n"));
    let audit = site.accounts.audit.lock().unwrap().clone();
    let noted: Vec<_> = audit.iter().filter(|row| row.what == format!("message.download {id}")).collect();
    assert_eq!((noted.len(), noted[0].who.as_str(), noted[0].account), (1, "Eva Chefin", Some(FIRMA)));
    site.spool.messages.lock().unwrap()[4].row.recipients[0].state = RecipientState::Delivered;
    assert_eq!(site.get(&path, &cookie).await.status, 404, "delivered mail is the server's");
}

#[tokio::test]
async fn a_message_tells_its_story_in_words() {
    let site = Site::busy().await;
    let id = site.spool.messages.lock().unwrap()[4].row.id;
    let page = site.get(&format!("/a/firma/spool/{id}?lang=en"), &site.signed_in(OWNER)).await.body;
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not told"));
    let story = [
        at("Connection from mail.notar-beispiel.example"),
        at("Accepted and stored"),
        at("<bdi>Held back</bdi>"),
        at("<bdi>Released</bdi>"),
        at("Waits for your server&#39;s next heartbeat"),
    ];
    assert!(story.is_sorted(), "{story:?}");
    assert!(
        page.contains("Attempt 1 for service@firma.example") && page.contains("class=\"quote\"><bdi>451 &#60;script")
    );
    for deed in ["retry", "hold", "delete"] {
        assert!(page.contains(&format!("name=\"do\" value=\"{deed}\"")), "{deed}");
    }
    assert!(!page.contains("value=\"release\""), "nothing is held back");
}

#[tokio::test]
async fn each_look_of_the_operator_is_in_the_customers_log_and_no_look_of_the_customer() {
    let site = Site::busy().await;
    site.accounts.audit.lock().unwrap().clear();
    let id = site.spool.messages.lock().unwrap()[1].row.id;
    let paths = ["/a/firma", "/a/firma/spool", &format!("/a/firma/spool/{id}"), "/a/firma/log", "/a/firma/domains"];
    let (owner, operator) = (site.signed_in(OWNER), site.signed_in(OPERATOR));
    for path in paths {
        assert_eq!(site.get(path, &owner).await.status, 200, "{path}");
    }
    assert!(site.accounts.audit.lock().unwrap().is_empty());
    for path in paths {
        assert_eq!(site.get(path, &operator).await.status, 200, "{path}");
    }
    site.stream("/a/firma/events?filter=held", &operator).await.event().await;
    let seen: Vec<_> = site.accounts.audit.lock().unwrap().iter().rev().map(|row| row.what.clone()).collect();
    let message = format!("look.message {id}");
    assert_eq!(seen, ["look.status", "look.spool", message.as_str(), "look.log", "look.domains", "look.spool"]);
    let log = site.get("/a/firma/log?lang=en", &owner).await.body;
    assert!(log.contains("Looked at the envelope of a message") && log.contains("<bdi>operator</bdi>"));
}

#[tokio::test]
async fn the_log_says_in_both_languages_who_did_what_and_hides_no_entry() {
    let site = Site::busy().await;
    let cookie = site.signed_in(OWNER);
    let english = site.get("/a/firma/log?lang=en", &cookie).await.body;
    assert!(english.contains("Domain added <bdi class=\"mono\">firma.example</bdi>") && english.contains("Held back"));
    assert!(english.contains("odd.verb"), "what has no words is shown as it is");
    assert!(!english.contains(HOSTILE) && english.contains("alert(1)"));
    assert!(site.get("/a/firma/log?lang=de", &cookie).await.body.contains("Domain hinzugefügt"));
}

#[tokio::test]
async fn a_domain_shows_what_it_needs_and_what_its_zone_with_us_holds() {
    let site = Site::busy().await;
    let cookie = site.signed_in(OWNER);
    let path = "/a/firma/domains?lang=en";
    let elsewhere = site.get(path, &cookie).await.body;
    assert!(elsewhere.contains("value=\"firma.dyn.example.\"") && elsewhere.contains("value=\"localhost.\""));
    assert_eq!(elsewhere.matches("to be entered at your DNS provider").count(), 2);
    *site.names.zones.lock().unwrap() = vec![
        zone(FIRMA, "firma.example", "@ 300 IN MX 10 FIRMA.dyn.example.\nt 300 IN TXT \"<script>alert(1)</script>\""),
        zone(OTHER, "praxis.example", "@ 300 IN TXT geheim"),
    ];
    let page = site.get(path, &cookie).await.body;
    assert_eq!(page.matches("as it stands in your zone with us").count(), 1);
    assert_eq!(page.matches("is missing in your zone with us").count(), 1);
    assert!(page.contains("serial 7, 4 records") && !page.contains("<script>alert") && !page.contains("geheim"));
    let file = site.get("/a/firma/zones/firma.example", &cookie).await;
    assert!(file.header("content-disposition").unwrap().contains("firma.example.zone"));
    assert!(file.body.starts_with("$ORIGIN firma.example.") && file.body.contains("alert(1)"));
    assert_eq!(site.get("/a/firma/zones/praxis.example", &cookie).await.status, 404);
    assert_eq!(site.get("/a/firma/zones/..%2F", &cookie).await.status, 404);
}
