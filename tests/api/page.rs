//! `/a/{name}/tokens` in a browser's place.

use serde_json::Value;

use crate::site::{Answer, Asks, OPERATORS, Site};

/// A signed-in browser.
pub struct Browser<'a> {
    site: &'a Site,
    cookie: String,
}

/// What follows `begin` up to the next quote.
fn attribute(body: &str, begin: &str) -> String {
    let at = body.find(begin).unwrap_or_else(|| panic!("{begin} is not on the page: {body}")) + begin.len();
    body[at..].split('"').next().unwrap().to_owned()
}

impl<'a> Browser<'a> {
    /// The owner of `firma`.
    pub fn owner(site: &'a Site) -> Self {
        Self::by(site, &["account", "link", "firma"])
    }

    fn by(site: &'a Site, link: &[&str]) -> Self {
        let link = site.server.command(link)["url"].as_str().unwrap().to_owned();
        let path = format!("/sign-in/{}", link.rsplit('/').next().unwrap());
        let origin = format!("http://{}", site.server.web);
        let asks =
            Asks::default().header("Origin", &origin).header("Content-Type", "application/x-www-form-urlencoded");
        let answer = site.send("POST", &path, &asks);
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        Self { site, cookie }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.site.send("GET", path, &Asks::default().header("Cookie", &self.cookie))
    }

    pub fn post(&self, path: &str, fields: &str) -> Answer {
        let csrf = attribute(&self.get("/a/firma/log").body, "name=\"csrf\" value=\"");
        let mut asks = Asks::default()
            .header("Cookie", &self.cookie)
            .header("Origin", &format!("http://{}", self.site.server.web))
            .header("Content-Type", "application/x-www-form-urlencoded");
        asks.body = format!("csrf={csrf}&{fields}").into_bytes();
        self.site.send("POST", path, &asks)
    }

    /// Makes a token by the form and reads it from the page that shows it.
    pub fn make_token(&self, label: &str, scopes: &[&str], valid: &str) -> String {
        let scopes: String = scopes.iter().map(|scope| format!("&scope={}", scope.replace(':', "%3A"))).collect();
        let made = self.post("/a/firma/tokens", &format!("label={label}&valid={valid}{scopes}"));
        assert_eq!(made.status, 303, "{made:?}");
        let page = self.get(made.header("location").unwrap());
        attribute(&page.body, "readonly value=\"")
    }
}

#[test]
fn a_token_is_made_shown_once_renewed_and_revoked() {
    let site = Site::open();
    let browser = Browser::owner(&site);
    let made = browser.post("/a/firma/tokens", "label=Monitoring&valid=90&scope=status&scope=spool%3Aread");
    assert_eq!(made.status, 303, "{made:?}");
    let target = made.header("location").unwrap().to_owned();
    assert!(!target.contains("pma-"), "no secret in an address: {target}");
    let page = browser.get(&target);
    let text = attribute(&page.body, "readonly value=\"");
    assert!(text.starts_with("pma-t") && page.header("cache-control") == Some("no-store"), "{page:?}");
    let again = browser.get(&target);
    assert!(!again.body.contains(&text) && again.body.contains("Monitoring"), "a reload shows it to nobody");
    assert_eq!(site.get("/api/v1/messages", &text).status, 200);
    let id = text.split('-').nth(1).unwrap();
    let renewed = browser.post(&format!("/a/firma/tokens/{id}/renew"), "overlap=0");
    let new = attribute(&browser.get(renewed.header("location").unwrap()).body, "readonly value=\"");
    assert_eq!((site.get("/api/v1/token", &text).status, site.get("/api/v1/token", &new).status), (401, 200));
    let revoked = browser.post(&format!("/a/firma/tokens/{id}/revoke"), "");
    assert_eq!((revoked.status, site.get("/api/v1/token", &new).status), (303, 401));
    let log = browser.get("/a/firma/log").body;
    for words in ["Token of the API made", "Token of the API renewed", "Token of the API revoked"] {
        assert!(log.contains(words), "{words}");
    }
}

#[test]
fn a_form_with_a_slip_comes_back_as_it_was_and_makes_nothing() {
    let site = Site::open();
    let browser = Browser::owner(&site);
    let count = || -> usize {
        let listed: Value = site.server.command(&["token", "list", "firma"]);
        listed["api_tokens"].as_array().unwrap().len()
    };
    let before = count();
    for fields in ["label=&scope=status", "label=Monitoring", &format!("label={}&scope=status", "x".repeat(61))] {
        let answer = browser.post("/a/firma/tokens", fields);
        assert!(answer.status == 422 && answer.body.contains("role=\"alert\""), "{fields}: {answer:?}");
    }
    let hostile = browser.post("/a/firma/tokens", "label=%3Cscript%3Ealert(1)%3C%2Fscript%3E");
    assert!(!hostile.body.contains("<script>alert"), "{hostile:?}");
    assert_eq!(count(), before);
    assert_eq!(browser.post("/a/firma/tokens/t7/revoke", "").status, 404);
    assert_eq!(browser.get("/a/firma/tokens?lang=de").body.matches("Zugangsschlüssel anlegen").count(), 1);
}

#[test]
fn the_operator_looks_and_changes_nothing() {
    let site = Site::open();
    let operator = Browser::by(&site, &["account", "link"]);
    let page = operator.get("/a/firma/tokens");
    assert!(page.status == 200 && !page.body.contains("name=\"label\""), "{page:?}");
    assert_eq!(operator.post("/a/firma/tokens", "label=x&scope=content").status, 403);
    let id = site.admin.split('-').nth(1).unwrap();
    assert_eq!(operator.post(&format!("/a/firma/tokens/{id}/renew"), "overlap=24").status, 403);
    assert!(Browser::owner(&site).get("/a/firma/log").body.contains("Looked at the tokens"));
    assert!(OPERATORS.split(',').all(|scope| scope != "content"));
}
