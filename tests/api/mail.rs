//! Held mail over the API: found page by page, looked at, followed, ruled about; content for those who may have it.

use serde_json::json;

use crate::page::Browser;
use crate::site::Site;

#[test]
fn a_list_is_read_page_by_page_without_a_gap_or_a_double() {
    let site = Site::open();
    let mut held: Vec<String> = (0..7).map(|n| site.hold(&n.to_string())).collect();
    held.sort();
    let (mut found, mut after) = (Vec::new(), String::new());
    for _ in 0..10 {
        let page = site.get(&format!("/api/v1/messages?limit=3{after}"), &site.admin).json();
        found.extend(page["messages"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(found, held);
    let count = |query: &str| {
        let page = site.get(&format!("/api/v1/messages?{query}"), &site.admin).json();
        page["messages"].as_array().unwrap().len()
    };
    assert_eq!((count("q=anna%40elsewhere.example"), count("q=nobody"), count("state=delivered")), (7, 0, 0));
    assert_eq!((count("from=2020-01-01T00:00:00Z"), count("until=2020-01-01T00:00:00Z")), (7, 0));
}

#[test]
fn a_message_is_held_released_given_up_and_removed_in_the_name_of_the_token() {
    let site = Site::open();
    let id = site.hold("one");
    let state = || {
        let message = site.get(&format!("/api/v1/messages/{id}"), &site.admin).json();
        assert_eq!(message["subject"], json!(null), "fields of the header are content");
        message["recipients"][0]["state"].as_str().unwrap_or("gone").to_owned()
    };
    let rule = |deed: &str, body| site.post(&format!("/api/v1/messages/{id}/{deed}"), &site.admin, &body).json();
    assert_eq!(state(), "queued");
    assert_eq!((rule("hold", json!({}))["recipients"].clone(), state()), (json!(1), "held".to_owned()));
    assert_eq!((rule("release", json!({}))["recipients"].clone(), state()), (json!(1), "queued".to_owned()));
    assert_eq!((rule("fail", json!({}))["recipients"].clone(), state()), (json!(1), "refused".to_owned()));
    assert_eq!((rule("retry", json!({}))["recipients"].clone(), state()), (json!(1), "queued".to_owned()));
    assert_eq!(site.post("/api/v1/messages/retry", &site.admin, &json!({})).status, 200);
    assert_eq!(rule("drop", json!({}))["status"], 422, "it has to be said twice");
    assert_eq!(rule("drop", json!({"sure": true}))["recipients"], 1);
    assert!(site.server.is_balanced("firma"));
    let audit = site.get("/api/v1/audit", &site.admin).json();
    let by_token = |what: &str| {
        audit["entries"].as_array().unwrap().iter().any(|entry| {
            entry["what"].as_str().unwrap().starts_with(what)
                && entry["who"].as_str().unwrap().starts_with("API token t")
        })
    };
    for what in ["queue.hold", "queue.release", "queue.fail", "queue.retry", "queue.drop"] {
        assert!(by_token(what), "{what}: {audit}");
    }
    let trace = site.get(&format!("/api/v1/messages/{}/trace", site.hold("two")), &site.admin).json();
    assert_eq!(trace["steps"][0]["what"], "accepted");
}

#[test]
fn content_is_for_the_customers_own_tokens_and_each_copy_is_noted() {
    let site = Site::open();
    let id = site.hold("secret plans");
    let path = format!("/api/v1/messages/{id}/content");
    assert_eq!(site.get(&path, &site.admin).problem(), "scope");
    let reader = Browser::owner(&site).make_token("reader", &["spool:read", "content"], "0");
    let whole = site.get(&path, &reader);
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("message/rfc822")));
    assert!(whole.body.starts_with("Received: ") && whole.body.ends_with("hello secret plans\r\n"), "{whole:?}");
    assert_eq!(whole.header("content-length").unwrap(), whole.body.len().to_string());
    let message = site.get(&format!("/api/v1/messages/{id}"), &reader).json();
    assert_eq!(message["subject"], "secret plans");
    let audit = site.get("/api/v1/audit", &site.admin).json().to_string();
    assert!(audit.contains(&format!("message.download {id}")), "{audit}");
    // The operator cannot get at it by a renewal either.
    let token = reader.split('-').nth(1).unwrap();
    let (good, _, err) = site.server.raw(&["token", "rotate", "firma", token]);
    assert!(!good && err.contains("content"), "{err}");
}

#[test]
fn a_message_that_two_accounts_share_shows_each_its_own_and_is_ruled_about_by_neither() {
    let site = Site::open();
    site.server.add_account("zweite", 25);
    let other = crate::site::token(&site.server, "zweite", crate::site::OPERATORS);
    let mut sender = crate::support::Sender::connect(site.server.smtp).unwrap();
    let to = ["info@firma.example", "info@zweite.example"];
    for line in ["MAIL FROM:<a@b.example>", &format!("RCPT TO:<{}>", to[0]), &format!("RCPT TO:<{}>", to[1])] {
        assert!(sender.ask(line).unwrap().starts_with("250"), "{line}");
    }
    assert!(sender.ask("DATA").unwrap().starts_with("354"));
    assert!(sender.ask("Subject: x\r\n\r\nx\r\n.").unwrap().starts_with("250"));
    let id = site.get("/api/v1/messages", &site.admin).json()["messages"][0]["id"].as_str().unwrap().to_owned();
    for (token, own) in [(&site.admin, to[0]), (&other, to[1])] {
        let message = site.get(&format!("/api/v1/messages/{id}"), token).json();
        assert_eq!((message["recipients"].as_array().unwrap().len(), message["is_shared"].clone()), (1, json!(true)));
        assert_eq!(message["recipients"][0]["to"], own);
        let foreign = if own == to[0] { to[1] } else { to[0] };
        let trace = site.get(&format!("/api/v1/messages/{id}/trace"), token);
        assert!(!trace.body.contains(foreign), "{trace:?}");
        let ruled = site.post(&format!("/api/v1/messages/{id}/hold"), token, &json!({}));
        assert_eq!((ruled.status, ruled.problem().as_str()), (409, "shared"));
    }
}
