//! The description and the service say the same, in both directions.

use std::collections::BTreeSet;

use pulsemx::api::operations;
use serde_json::json;

use crate::site::{Asks, OPERATORS, Site, description};

const DESCRIPTION: &str = "/api/v1/openapi.json";

fn described() -> BTreeSet<(String, String, String)> {
    let mut all = BTreeSet::new();
    for (path, methods) in description()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let scopes = operation["security"][0]["token"].as_array().cloned().unwrap_or_default();
            let scope = scopes.first().and_then(|scope| scope.as_str()).unwrap_or_default().to_owned();
            all.insert((method.to_ascii_uppercase(), path.clone(), scope));
        }
    }
    all
}

#[test]
fn every_route_is_described_with_its_scope_and_nothing_else_is() {
    let routes = operations().into_iter().map(|(method, path, scope)| {
        (method.to_owned(), path.to_owned(), scope.map(|scope| scope.as_str().to_owned()).unwrap_or_default())
    });
    let routes: BTreeSet<_> = routes.chain([("GET".to_owned(), DESCRIPTION.to_owned(), String::new())]).collect();
    assert_eq!(described(), routes);
}

#[test]
fn every_described_operation_is_served_and_asks_for_the_scope_it_names() {
    let site = Site::open();
    let everything = format!("{OPERATORS},");
    assert_eq!(site.get(DESCRIPTION, "").json(), *description());
    for (method, path, scope) in described().into_iter().filter(|(_, path, _)| path != DESCRIPTION) {
        let path = path.replace("{id}", "7").replace("{zone}", "nowhere.example");
        let without = site.ask(&method, &path, Asks::default());
        assert_eq!((without.status, without.problem().as_str()), (401, "no-token"), "{method} {path}");
        assert!(without.header("www-authenticate").unwrap().starts_with("Bearer"));
        if scope.is_empty() {
            continue;
        }
        let others: Vec<&str> = everything.split(',').filter(|word| !word.is_empty() && *word != scope).collect();
        let token = site.token(&others.join(","));
        let refused = site.ask(&method, &path, Asks::with(&token));
        assert_eq!((refused.status, refused.problem().as_str()), (403, "scope"), "{method} {path}");
        assert!(refused.header("www-authenticate").unwrap().contains(&format!("scope=\"{scope}\"")));
        // One that is let in is not asked for the scope again; what it asks for may not be there.
        if scope != "content" && path != "/api/v1/events" {
            let admitted = site.ask(&method, &path, Asks::with(&site.admin));
            assert!(!matches!(admitted.status, 401 | 403 | 405), "{method} {path}: {admitted:?}");
        }
        let id = token.split('-').nth(1).unwrap();
        site.server.command(&["token", "revoke", "firma", id]);
    }
}

#[test]
fn what_is_no_address_and_no_method_is_told_as_a_problem_in_the_readers_language() {
    let site = Site::open();
    for path in
        ["/api", "/api/", "/api/v1", "/api/v1/nothing", "/api/v2/account", "/api/v1/messages/x/y/z", "/api/v1/a%ff"]
    {
        let answer = site.send("GET", path, &Asks::with(&site.admin));
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let answer = site.send("PATCH", "/api/v1/account", &Asks::with(&site.admin));
    assert_eq!((answer.status, answer.problem().as_str()), (405, "method"));
    assert!(answer.header("allow").unwrap().contains("GET"), "{answer:?}");
    let german = site.send("GET", "/api/v1/nothing", &Asks::default().header("Accept-Language", "de-AT, en;q=0.5"));
    assert_eq!(
        (german.header("content-language"), german.json()["title"].as_str()),
        (Some("de"), Some("Nicht gefunden"))
    );
    let english = site.send("GET", "/api/v1/nothing", &Asks::default());
    assert_eq!(english.header("content-language"), Some("en"));
}

#[test]
fn an_answer_is_kept_by_no_cache_and_runs_in_no_page() {
    let site = Site::open();
    let answer = site.get("/api/v1/account", &site.admin);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("access-control-allow-origin").is_none() && answer.header("set-cookie").is_none());
}

#[test]
fn nobody_learns_whether_a_token_or_its_account_is_there() {
    let site = Site::open();
    let (text, id) = (site.admin.clone(), site.admin.split('-').nth(1).unwrap().to_owned());
    let mut wrong_secret = text.clone();
    wrong_secret.replace_range(text.len() - 1.., if text.ends_with('a') { "b" } else { "a" });
    site.server.add_account("weg", 25);
    let gone = crate::site::token(&site.server, "weg", "status");
    site.server.command(&["account", "rm", "weg", "--now"]);
    let unknown = format!("pma-taaaaaaaaaaaa-{}", "a".repeat(32));
    let short = site.server.command(&["token", "new", "firma", "--scope", "status", "--label", "x", "--valid", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let mut told = BTreeSet::new();
    for wrong in [wrong_secret.as_str(), &unknown, &gone, &id, "x", short["token"].as_str().unwrap()] {
        let answer = site.get("/api/v1/account", wrong);
        told.insert((answer.status, answer.header("www-authenticate").map(str::to_owned), answer.body));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told.first().unwrap().0, 401);
}

#[test]
fn wrong_tokens_are_slowed_down_and_a_right_one_is_not() {
    let site = Site::open();
    let codes: Vec<u16> = (0..60).map(|n| site.get("/api/v1/account", &format!("pma-wrong-{n}")).status).collect();
    assert!(codes.starts_with(&[401]) && codes.ends_with(&[429]), "{codes:?}");
    let slowed = site.get("/api/v1/account", "pma-wrong");
    assert!(slowed.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(site.get("/api/v1/account", &site.admin).status, 200);
}

#[test]
fn what_is_unreadable_is_told_apart_from_what_cannot_be_done() {
    let site = Site::open();
    let ask = |body: &str, kind: &str| {
        let mut asks = Asks::with(&site.admin).header("Content-Type", kind);
        asks.body = body.as_bytes().to_vec();
        let answer = site.ask("POST", "/api/v1/tokens", asks);
        (answer.status, answer.problem())
    };
    let json = "application/json";
    assert_eq!(ask("{", json), (400, "unreadable".to_owned()));
    assert_eq!(ask("{}", json), (422, "refused".to_owned()));
    assert_eq!(ask(r#"{"label": "x", "scopes": ["root"]}"#, json), (422, "refused".to_owned()));
    assert_eq!(ask(r#"{"label": "x", "scopes": ["status"], "more": 1}"#, json), (422, "refused".to_owned()));
    assert_eq!(ask(r#"{"label": "x", "scopes": []}"#, json), (422, "refused".to_owned()));
    assert_eq!(ask("label=x", "application/x-www-form-urlencoded"), (415, "media-type".to_owned()));
    assert_eq!(ask(&" ".repeat(70_000), json), (413, "too-large".to_owned()));
    for query in ["limit=0", "limit=1001", "limit=x", "color=red", "limit=1&limit=2", "after=x", "state=lost", "from=1"]
    {
        let answer = site.get(&format!("/api/v1/messages?{query}"), &site.admin);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "unreadable"), "{query}");
    }
    let odd = Asks::with(&site.admin).json(&json!({})).header("Idempotency-Key", "a b");
    assert_eq!(site.ask("POST", "/api/v1/messages/retry", odd).problem(), "key");
}
