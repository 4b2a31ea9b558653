//! Domains, zones, recipients, history, drills, alerts: the same desks as the commands.

use serde_json::json;

use crate::site::{Asks, Site};

#[test]
fn a_zone_of_the_account_is_read_changed_and_replaced_with_its_history() {
    let site = Site::open();
    assert_eq!(site.get("/api/v1/zones/firma.example", &site.admin).status, 404);
    site.server.command(&["zone", "add", "firma", "firma.example"]);
    let record =
        json!({"name": "_acme-challenge", "type": "TXT", "data": ["\"abc\""], "ttl": 60, "why": "certificate"});
    let done = site.post("/api/v1/zones/firma.example/records", &site.admin, &record);
    assert_eq!(done.status, 200, "{done:?}");
    let zone = site.get("/api/v1/zones/firma.example", &site.admin).json();
    assert!(zone["records"].to_string().contains("_acme-challenge"), "{zone}");
    let change = &zone["changes"][0];
    assert!(change["who"].as_str().unwrap().starts_with("API token t") && change["why"] == "certificate", "{change}");
    let file = site.get("/api/v1/zones/firma.example/file", &site.admin);
    assert!(file.body.contains("SOA"), "{file:?}");
    let put = |text: &str| site.ask("PUT", "/api/v1/zones/firma.example/file", Asks::with(&site.admin).text(text));
    assert_eq!(put(&file.body.replace("abc", "def")).status, 200);
    assert_eq!(put("no zone").problem(), "refused");
    assert_eq!(site.get("/api/v1/zones/firma.example/file", &site.admin).body.matches("def").count(), 1);
    let empty = site.post("/api/v1/zones/firma.example/check", &site.admin, &json!({"text": "@ 300 IN TXT x\n"}));
    assert_eq!(empty.json()["good"], false, "a zone without SOA");
    assert_eq!(site.post("/api/v1/zones/firma.example/check", &site.admin, &json!({})).status, 200);
    // What is not the account's it cannot make its own.
    let foreign = site.ask("PUT", "/api/v1/zones/google.example/file", Asks::with(&site.admin).text(&file.body));
    assert_eq!(foreign.status, 404);
    assert_eq!(site.get("/api/v1/zones", &site.admin).json()["zones"].as_array().unwrap().len(), 1);
    let domain = &site.get("/api/v1/domains", &site.admin).json()["domains"][0];
    assert_eq!(
        (domain["domain"].clone(), domain["records"][1]["found"].clone()),
        (json!("firma.example"), json!(true))
    );
}

#[test]
fn a_list_of_recipients_is_put_in_place_and_read_page_by_page() {
    let site = Site::open();
    let list: String = (0..5).map(|n| format!("user{n}@firma.example\n")).collect();
    let put = |text: &str| site.ask("PUT", "/api/v1/recipients", Asks::with(&site.admin).text(text));
    assert_eq!(put(&list).status, 200);
    assert_eq!(put("x@elsewhere.example\n").problem(), "refused");
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = site.get(&format!("/api/v1/recipients?domain=firma.example&limit=2{after}"), &site.admin).json();
        found.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
        assert!(found.len() < 10, "{found:?}");
    }
    assert_eq!(found.len(), 5, "{found:?}");
    let domains = site.get("/api/v1/recipients", &site.admin).json()["domains"].clone();
    assert!(domains.as_array().unwrap().iter().any(|domain| domain["listed"] == 5), "{domains}");
}

#[test]
fn history_days_and_drills_are_told() {
    let site = Site::open();
    assert_eq!(site.get("/api/v1/account", &site.admin).json()["state"], "new");
    assert_eq!(site.get("/api/v1/account/history", &site.admin).json()["history"], json!([]));
    assert_eq!(site.get("/api/v1/account/outages", &site.admin).json()["outages"], json!([]));
    assert_eq!(site.get("/api/v1/account/days", &site.admin).json()["days"].as_array().unwrap().len(), 90);
    for query in
        ["from=2026-02-30", "from=2999-01-01", "from=2020-01-01&to=2019-01-01", "to=2019-06-01&from=2018-01-01"]
    {
        let status = site.get(&format!("/api/v1/account/days?{query}"), &site.admin).status;
        assert_eq!(status, if query.contains("02-30") { 400 } else { 422 }, "{query}");
    }
    assert_eq!(site.get("/api/v1/drill", &site.admin).status, 404);
    let begun =
        site.ask("POST", "/api/v1/drill", Asks::with(&site.admin).json(&json!({})).header("Accept-Language", "de"));
    assert_eq!((begun.status, begun.problem().as_str()), (409, "conflict"), "its server was never heard");
}

#[test]
fn a_channel_is_tested_and_its_secrets_stay_inside() {
    let site = Site::open();
    let added = site.server.command(&["alert", "add", "firma", "webhook:http://127.0.0.1:9/s3cr3t-path"]);
    let id = added["id"].as_i64().unwrap();
    let alerts = site.get("/api/v1/alerts", &site.admin);
    assert!(!alerts.body.contains("s3cr3t") && alerts.json()["alerts"][0]["place"] == "127.0.0.1", "{alerts:?}");
    let test = |id: i64| site.post(&format!("/api/v1/alerts/{id}/test"), &site.admin, &json!({}));
    let tested = test(id);
    assert_eq!((tested.status, tested.problem().as_str()), (409, "not-through"), "{tested:?}");
    assert_eq!(test(id).status, 429);
    assert_eq!(test(id + 7).status, 404);
}

#[test]
fn the_public_page_is_switched_on_and_off_and_asked_for() {
    let site = Site::open();
    let put = |is_on: bool| {
        let asks = Asks::with(&site.admin).json(&json!({ "is_public": is_on }));
        site.ask("PUT", "/api/v1/account/public", asks).json()
    };
    assert_eq!(site.get("/api/v1/account/public", &site.admin).json()["is_public"], false);
    let on = put(true);
    assert!(on["page"].as_str().unwrap().contains("/s/") && on["ics"].as_str().unwrap().ends_with(".ics"), "{on}");
    assert_eq!(put(true), on, "the same again changes nothing");
    assert_eq!(site.get("/api/v1/account/public", &site.admin).json(), on);
    let path = |url: &serde_json::Value| format!("/{}", url.as_str().unwrap().splitn(4, '/').nth(3).unwrap());
    assert_eq!(site.send("GET", &path(&on["badge"]), &Asks::default()).status, 200);
    let shown = site.server.command(&["account", "public", "firma", "off"]);
    assert!(format!("{shown:?}").contains("not public"), "{shown:?}");
    assert_eq!(site.get("/api/v1/account/public", &site.admin).json()["page"], serde_json::Value::Null);
    assert_eq!(site.send("GET", &path(&on["page"]), &Asks::default()).status, 404);
}
