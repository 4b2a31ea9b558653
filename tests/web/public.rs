//! What an account shows to everybody: nothing until it is switched on, and then no more than its state and its outages.

use pulsemx::account::{PeopleStore, Role};
use pulsemx::liveness::LineState;

use crate::account::House;
use crate::fakes::{self, FIRMA, line};

async fn published() -> (House, String, String) {
    let house = House::open().await;
    let mine = house.signed_in(house.eva).await;
    let reply = house.press("/a/firma/account/public", &mine, "which=on").await;
    assert_eq!(reply.header("location"), Some("/a/firma/account?done=public"));
    let public = house.store.publication(FIRMA).await.unwrap().unwrap();
    (house, public.page_id, public.badge_id)
}

#[tokio::test]
async fn an_account_is_public_only_while_its_people_want_it_and_what_was_switched_off_is_as_if_it_never_was() {
    let (house, page, badge) = published().await;
    let mine = house.signed_in(house.eva).await;
    let own = house.site.get("/a/firma/account?lang=en", &mine).await;
    assert!(own.body.contains(&format!("/s/{page}")) && own.body.contains("Switch off"));
    let paths =
        [format!("/s/{page}"), format!("/badge/{badge}.svg"), format!("/feed/{page}.rss"), format!("/feed/{page}.ics")];
    for path in &paths {
        assert_eq!(house.site.get(path, "").await.status, 200, "{path}");
    }
    // The badge leads nowhere else, and the page's id is no badge.
    assert_eq!(house.site.get(&format!("/s/{badge}"), "").await.status, 404);
    assert_eq!(house.site.get(&format!("/badge/{page}.svg"), "").await.status, 404);
    let viewer = house.signed_in(house.somebody("Tom", Some(Role::Viewer)).await).await;
    assert_eq!(house.press("/a/firma/account/public", &viewer, "which=off").await.status, 403);
    assert_eq!(
        house.site.post("/a/firma/account/public", &mine, "which=off").await.status,
        403,
        "only by our own form"
    );
    house.press("/a/firma/account/public", &mine, "which=on").await;
    assert_eq!(house.site.get(&paths[0], "").await.status, 200, "on again changes nothing");

    house.press("/a/firma/account/public", &mine, "which=off").await;
    let never = house.site.get("/s/aaaaaaaaaaaaaaaaaaaaaaaaaa", "").await;
    for path in &paths {
        let gone = house.site.get(path, "").await;
        assert_eq!((gone.status, &gone.body), (404, &never.body), "{path}");
    }
    house.press("/a/firma/account/public", &mine, "which=on").await;
    assert_eq!(house.site.get(&paths[0], "").await.status, 404, "an old address never comes back");
    let noted = house.noted().await;
    assert_eq!(noted.iter().filter(|what| *what == "public.on").count(), 2, "{noted:?}");
    assert_eq!(noted.iter().filter(|what| *what == "public.off").count(), 1, "{noted:?}");
}

#[tokio::test]
async fn strangers_learn_state_and_outages_in_their_language_and_nothing_else() {
    let (house, page, badge) = published().await;
    house.site.go_offline();
    let mine = house.signed_in(house.eva).await;
    let german = [("Accept-Language", "de-AT, en;q=0.5")];
    let all = [
        house.site.send("GET", &format!("/s/{page}"), &mine, &[], "").await,
        house.site.send("GET", &format!("/s/{page}"), "", &german, "").await,
        house.site.send("GET", &format!("/feed/{page}.rss"), "", &german, "").await,
        house.site.send("GET", &format!("/feed/{page}.ics"), "", &german, "").await,
        house.site.get(&format!("/badge/{badge}.svg?lang=de"), "").await,
    ];
    assert!(all[0].body.contains("The mail server cannot be reached."));
    assert!(all[1].body.contains("Der Mailserver ist nicht erreichbar."));
    assert!(all[4].body.contains(">Mail: Offline<"));
    for reply in &all {
        for secret in ["203.0.113", "firma", "Eva", "(owner)", "csrf", "/sign-out"] {
            assert!(!reply.body.contains(secret), "{secret}: {}", reply.body);
        }
    }
    let badge = all[4].body.as_str();
    let drawn = roxmltree::Document::parse(badge).unwrap();
    let allowed = ["svg", "title", "desc", "rect", "path", "text"];
    assert!(drawn.descendants().filter(|n| n.is_element()).all(|n| allowed.contains(&n.tag_name().name())), "{badge}");
    assert!(!badge.contains("href") && !badge.contains(" on"), "{badge}");
    let headers = |name| all.iter().map(move |reply| reply.header(name).unwrap_or_default());
    assert!(headers("cache-control").all(|value| value.starts_with("public, max-age=")));
    assert!(headers("vary").all(|value| value.contains("Accept-Language")));
    assert!(headers("content-security-policy").all(|value| value.contains("default-src 'none'")));
    assert_eq!(all[4].header("cross-origin-resource-policy"), Some("cross-origin"));
}

#[tokio::test]
async fn a_missed_beat_is_nobody_elses_matter() {
    let (house, page, _) = published().await;
    *house.site.lines.line.lock().unwrap() = Some(line(LineState::Suspect, 2));
    let shown = house.site.get(&format!("/s/{page}?lang=en"), "").await;
    assert!(shown.body.contains("The mail server is reachable."));
    assert!(shown.body.contains("data-account-state=\"online\""));
}

#[tokio::test]
async fn the_feed_is_rss_with_an_item_for_each_outage() {
    let (house, page, _) = published().await;
    *house.site.log.rows.lock().unwrap() = fakes::history(Some(69));
    let reply = house.site.get(&format!("/feed/{page}.rss?lang=en"), "").await;
    assert_eq!(reply.header("content-type"), Some("application/rss+xml; charset=utf-8"));
    let feed = roxmltree::Document::parse(&reply.body).unwrap();
    assert_eq!(feed.root_element().attribute("version"), Some("2.0"));
    let channel = feed.root_element().first_element_child().unwrap();
    let of = |node: roxmltree::Node<'_, '_>, name: &str| {
        node.children().find(|n| n.has_tag_name(name)).unwrap().text().unwrap_or_default().to_owned()
    };
    assert_eq!(of(channel, "language"), "en");
    assert!(of(channel, "link").ends_with(&format!("/s/{page}")));
    let items: Vec<_> = channel.children().filter(|n| n.has_tag_name("item")).collect();
    assert_eq!(of(items[0], "title"), "Mail server unreachable, still running");
    assert!(items.len() > 1 && of(items[1], "title").starts_with("Mail server unreachable for "));
    let mut ids: Vec<_> = items.iter().map(|item| of(*item, "guid")).collect();
    ids.dedup();
    assert_eq!(ids.len(), items.len());
    for item in items {
        chrono::DateTime::parse_from_rfc2822(&of(item, "pubDate")).unwrap();
    }
    let tag = reply.header("etag").unwrap().to_owned();
    let again = house.site.send("GET", &format!("/feed/{page}.rss?lang=en"), "", &[("If-None-Match", &tag)], "").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
}

#[tokio::test]
async fn the_calendar_keeps_to_rfc_5545() {
    let (house, page, _) = published().await;
    *house.site.log.rows.lock().unwrap() = fakes::history(Some(69));
    let reply = house.site.get(&format!("/feed/{page}.ics?lang=de"), "").await;
    assert_eq!(reply.header("content-type"), Some("text/calendar; charset=utf-8"));
    assert!(reply.body.ends_with("END:VCALENDAR\r\n") && !reply.body.replace("\r\n", "").contains(['\r', '\n']));
    assert!(reply.body.split("\r\n").all(|line| line.len() <= 75), "{}", reply.body);
    assert!(reply.body.contains("\r\n "), "the description is longer than a line");
    let whole = reply.body.replace("\r\n ", "");
    assert!(whole.contains("Post wird hier aufbewahrt und zugestellt\\, sobald"), "{whole}");
    let values = |name: &str| -> Vec<String> {
        whole.lines().filter_map(|line| line.strip_prefix(name)).map(|value| value.trim_end().to_owned()).collect()
    };
    let (begins, ends, ids) = (values("DTSTART:"), values("DTEND:"), values("UID:"));
    assert!(begins.len() > 1);
    assert_eq!((begins.len(), begins.len()), (ends.len(), ids.len()));
    for (begin, end) in begins.iter().zip(&ends) {
        let read = |text: &str| chrono::NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").unwrap();
        assert!(read(begin) <= read(end));
    }
    assert_eq!(values("BEGIN:VEVENT").len(), values("END:VEVENT").len());
}

#[tokio::test]
async fn the_page_tells_a_genuine_badge_from_a_changed_one() {
    let (house, page, badge) = published().await;
    let picture = house.site.get(&format!("/badge/{badge}.svg?lang=en"), "").await;
    let seal = picture.body.split("<desc>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let check = async |seal: &str| house.site.get(&format!("/s/{page}?lang=en&badge={seal}"), "").await.body;
    assert!(check(&seal).await.contains("Genuine: Online, drawn "));
    let changed = check(&seal.replace("online", "offline")).await;
    assert!(!changed.contains("Genuine") && changed.contains("not from here"));
    assert!(check("nonsense").await.contains("not from here"));
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let (house, page, _) = published().await;
    let mut slowed = None;
    for _ in 0..100 {
        let reply = house.site.get(&format!("/feed/{page}.ics"), "").await;
        if reply.status == 429 {
            slowed = Some(reply);
            break;
        }
    }
    assert!(slowed.expect("a limit").header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
}
