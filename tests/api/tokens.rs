//! Tokens: made, used, renewed, revoked; what each opens and what it may give away.

use std::io::{BufRead, BufReader};

use serde_json::json;

use crate::site::{Asks, Site};
use crate::support::wait_for;

#[test]
fn a_token_is_shown_once_kept_as_an_image_and_known_in_the_audit_log() {
    let mut site = Site::open();
    let made = site.server.command(&[
        "token",
        "new",
        "firma",
        "--scope",
        "status",
        "--label",
        "Überwachung",
        "--valid",
        "90d",
    ]);
    let (text, id) = (made["token"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned());
    assert!(text.starts_with(&format!("pma-{id}-")) && made["expires_at"].is_string(), "{made}");
    let listed = site.server.command(&["token", "list", "firma"]);
    let listed = listed["api_tokens"].as_array().unwrap();
    assert!(listed.iter().any(|token| token["id"] == id.as_str() && token["label"] == "Überwachung"));
    assert!(!serde_json::to_string(listed).unwrap().contains(&text));
    let shown = site.get("/api/v1/token", &text);
    assert_eq!((shown.json()["id"].as_str(), shown.json()["scopes"].clone()), (Some(id.as_str()), json!(["status"])));
    // Neither the database nor the log has the secret.
    let secret = text.rsplit('-').next().unwrap().to_owned();
    site.server.stop();
    for file in std::fs::read_dir(site.server.data()).unwrap().map(|entry| entry.unwrap().path()) {
        let octets = std::fs::read(&file).unwrap_or_default();
        assert!(!octets.windows(secret.len()).any(|piece| piece == secret.as_bytes()), "{}", file.display());
    }
    assert!(!site.server.log().contains(&secret));
    site.server.run();
    let again = site.get("/api/v1/token", &text);
    assert_eq!(again.status, 200, "a token outlives a restart");
    assert!(again.json()["last_used_at"].as_str().unwrap().ends_with(":00:00Z"), "{again:?}");
    let audit = site.get("/api/v1/audit", &site.admin).json().to_string();
    assert!(audit.contains(&format!("api_token.add {id} status Überwachung")), "{audit}");
}

#[test]
fn a_renewed_token_has_two_secrets_for_a_while_and_a_revoked_one_none() {
    let site = Site::open();
    let old = site.token("status");
    let id = old.split('-').nth(1).unwrap().to_owned();
    let renewed = site.server.command(&["token", "rotate", "firma", &id, "--overlap", "1h"]);
    let new = renewed["token"].as_str().unwrap().to_owned();
    assert!(renewed["old_until"].is_string() && renewed["id"] == id.as_str());
    let status = |token: &str| site.get("/api/v1/token", token).status;
    assert_eq!((status(&old), status(&new)), (200, 200));
    let newest = site.post("/api/v1/token/rotate", &new, &json!({"overlap_s": 0})).json();
    let newest = newest["token"].as_str().unwrap().to_owned();
    assert_eq!((status(&old), status(&new), status(&newest)), (401, 401, 200));
    let other = site.server.raw(&["token", "revoke", "nobody", &id]);
    assert!(!other.0 && other.2.contains("nobody"), "{other:?}");
    site.server.command(&["token", "revoke", "firma", &id]);
    assert_eq!(status(&newest), 401);
}

#[test]
fn nobody_gives_away_what_is_not_his() {
    let site = Site::open();
    let (good, _, err) = site.server.raw(&["token", "new", "firma", "--scope", "content", "--label", "x"]);
    assert!(!good && err.contains("content"), "the operator reads no mail: {err}");
    let more = site.post("/api/v1/tokens", &site.admin, &json!({"label": "x", "scopes": ["status", "content"]}));
    assert_eq!((more.status, more.problem().as_str()), (403, "scope"));
    let small = site.token("admin");
    let more = site.post("/api/v1/tokens", &small, &json!({"label": "x", "scopes": ["dns"]}));
    assert_eq!(more.status, 403);
    // Whoever renews a token has its secret.
    let admin_id = site.admin.split('-').nth(1).unwrap();
    let renewed = site.post(&format!("/api/v1/tokens/{admin_id}/rotate"), &small, &json!({}));
    assert_eq!((renewed.status, renewed.problem().as_str()), (403, "scope"));
    let made = site.post("/api/v1/tokens", &small, &json!({"label": "x", "scopes": ["admin"]}));
    assert_eq!(made.status, 201);
    let made_id = made.json()["id"].as_str().unwrap().to_owned();
    assert!(made.json()["made_by"].as_str().unwrap().starts_with("API token t"), "{made:?}");
    assert_eq!(site.ask("DELETE", &format!("/api/v1/tokens/{made_id}"), Asks::with(&small)).status, 204);
    assert_eq!(site.ask("DELETE", &format!("/api/v1/tokens/{made_id}"), Asks::with(&small)).status, 404);
}

#[test]
fn the_token_of_one_account_sees_nothing_of_another() {
    let site = Site::open();
    site.server.add_account("zweite", 25);
    let other = crate::site::token(&site.server, "zweite", crate::site::OPERATORS);
    let message = site.hold("one");
    site.server.command(&["zone", "add", "firma", "firma.example"]);
    let admin_id = site.admin.split('-').nth(1).unwrap();
    let own = [
        format!("/api/v1/messages/{message}"),
        format!("/api/v1/messages/{message}/trace"),
        "/api/v1/zones/firma.example".to_owned(),
        "/api/v1/zones/firma.example/file".to_owned(),
    ];
    for path in &own {
        assert_eq!((site.get(path, &site.admin).status, site.get(path, &other).status), (200, 404), "{path}");
    }
    for deed in ["hold", "release", "retry", "fail"] {
        assert_eq!(site.post(&format!("/api/v1/messages/{message}/{deed}"), &other, &json!({})).status, 404, "{deed}");
    }
    let drop = site.post(&format!("/api/v1/messages/{message}/drop"), &other, &json!({"sure": true}));
    assert_eq!(drop.status, 404);
    let record = json!({"name": "@", "type": "TXT", "data": ["x"]});
    assert_eq!(site.post("/api/v1/zones/firma.example/records", &other, &record).status, 404);
    assert_eq!(site.ask("DELETE", &format!("/api/v1/tokens/{admin_id}"), Asks::with(&other)).status, 404);
    for (path, field) in [("messages", "messages"), ("zones", "zones"), ("alerts", "alerts")] {
        assert_eq!(site.get(&format!("/api/v1/{path}"), &other).json()[field], json!([]), "{path}");
    }
    assert_eq!(site.get("/api/v1/account", &other).json()["account"], "zweite");
    let recipients = site.get("/api/v1/recipients?domain=firma.example", &other);
    assert_eq!(recipients.status, 404, "{recipients:?}");
}

#[test]
fn a_request_that_is_repeated_with_its_key_is_carried_out_once() {
    let site = Site::open();
    let count = || site.get("/api/v1/tokens", &site.admin).json()["tokens"].as_array().unwrap().len();
    let before = count();
    let ask = |key: &str, label: &str| {
        let asks = Asks::with(&site.admin).json(&json!({"label": label, "scopes": ["status"]}));
        site.ask("POST", "/api/v1/tokens", asks.header("Idempotency-Key", key))
    };
    let (first, second) = (ask("k-1", "x"), ask("k-1", "x"));
    assert_eq!((first.status, second.status, first.json()), (201, 201, second.json()));
    assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), (None, Some("true")));
    assert_eq!(ask("k-1", "y").problem(), "key-reused");
    assert_eq!(ask("k-2", "x").status, 201);
    assert_eq!(count(), before + 2);
    // What failed is not kept.
    assert_eq!(ask("k-3", "").status, 422);
    assert_eq!(ask("k-3", "now good").status, 201);
}

#[test]
fn a_stream_tells_the_state_at_once_then_what_happens_and_ends_with_its_token() {
    let site = Site::open();
    let token = site.token("status");
    let stream = site.begin("GET", "/api/v1/events", &Asks::with(&token));
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut next = || -> Option<serde_json::Value> {
        let data = lines.by_ref().find_map(|line| line.strip_prefix("data: ").map(str::to_owned))?;
        let account: serde_json::Value = serde_json::from_str(&data).unwrap();
        let schema = json!({"$ref": "#/components/schemas/Account"});
        let faults = crate::schema::faults(crate::site::description(), &schema, &account);
        assert!(faults.is_empty(), "{faults:?}");
        Some(account)
    };
    assert_eq!(next().unwrap()["held"], 0);
    site.hold("one");
    // The news may come in more than one piece.
    assert!((0..10).any(|_| next().unwrap()["held"] == 1));
    let id = token.split('-').nth(1).unwrap();
    site.server.command(&["token", "revoke", "firma", id]);
    site.hold("two");
    wait_for("the stream ends", std::time::Duration::from_secs(60), || next().is_none().then_some(()));
}
