//! The pages over real loopback sockets, with the other rooms as tables in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod account;
mod alerts;
#[cfg(feature = "peers")]
mod browser;
mod drill;
mod fakes;
mod held;
mod look;
mod passkey;
mod public;
mod setup;
mod site;
mod verdicts;

use std::sync::Arc;

use fakes::{FIRMA, HOSTILE, OPERATOR, OTHER, OWNER, VIEWER, busy_spool, line, message};
use pulsemx::base::SpoolIds;
use pulsemx::liveness::day::{DayRow, Standing};
use pulsemx::liveness::{DaySummary, LineEvent, LineState};
use pulsemx::web::{DemoButton, DemoControls, Settings, sign_in};
use site::{Reply, Site};

/// Every page that a signed-in person can see.
async fn every_page(site: &Site) -> Vec<(String, Reply)> {
    let cookie = site.signed_in(OWNER);
    let operator = site.signed_in(OPERATOR);
    let id = site.spool.messages.lock().unwrap()[4].row.id;
    let secret = sign_in::new_secret().unwrap().0;
    let mut pages = Vec::new();
    let paths = [
        "/",
        "/a/firma",
        "/a/firma/spool",
        "/a/firma/spool?filter=refused",
        "/a/firma/spool?filter=delivered",
        "/a/firma/spool?q=kunde&age=day",
        "/a/firma/log",
        "/a/firma/domains",
        "/a/firma/drill",
        "/a/firma/alerts",
        "/a/firma/account",
        "/sign-in",
        "/a/firma/setup?domain=neu.example",
        "/nowhere",
        "/a/firma/spool/zzz",
    ];
    for path in paths.map(str::to_owned).into_iter().chain([format!("/a/firma/spool/{id}")]) {
        for lang in ["de", "en"] {
            let sep = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{sep}lang={lang}");
            pages.push((path.clone(), site.get(&path, &cookie).await));
            pages.push((format!("operator {path}"), site.get(&path, &operator).await));
        }
    }
    pages.push(("signed out".to_owned(), site.get("/", "").await));
    pages.push(("sign-in".to_owned(), site.get(&format!("/sign-in/{secret}"), "").await));
    pages.push(("bad sign-in".to_owned(), site.get("/sign-in/abc", "").await));
    pages.push(("forbidden".to_owned(), site.post("/sign-out", &cookie, "").await));
    pages
}

#[tokio::test]
async fn a_sign_in_link_works_once_and_looking_at_it_does_not_use_it_up() {
    let site = Site::open().await;
    let secret = site.link(OWNER).await;
    let path = format!("/sign-in/{secret}");
    for _ in 0..3 {
        let page = site.get(&path, "").await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains(&format!("action=\"{path}\"")));
        assert!(page.header("set-cookie").is_none());
    }
    let first = site.post(&path, "", "").await;
    assert_eq!((first.status, first.header("location")), (303, Some("/")));
    let cookie = first.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("pulsemx=") && cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    assert_eq!(site.get("/", &cookie).await.status, 200);
    let second = site.post(&path, "", "").await;
    assert_eq!(second.status, 410);
    assert!(second.header("set-cookie").is_none());
}

#[tokio::test]
async fn a_link_that_has_run_out_signs_nobody_in() {
    let site = Site::open().await;
    let secret = site.link(OWNER).await;
    for (_, ends) in site.accounts.links.lock().unwrap().values_mut() {
        *ends = fakes::ago(1);
    }
    assert_eq!(site.post(&format!("/sign-in/{secret}"), "", "").await.status, 410);
}

#[tokio::test]
async fn another_site_cannot_sign_a_browser_in() {
    let site = Site::open().await;
    let secret = site.link(OWNER).await;
    let path = format!("/sign-in/{secret}");
    assert_eq!(site.post_from("https://evil.example", &path, "", "").await.status, 403);
    assert_eq!(site.post(&path, "", "").await.status, 303, "the link was not used up");
}

#[tokio::test]
async fn without_a_session_no_page_shows_anything() {
    let site = Site::busy().await;
    let id = site.spool.messages.lock().unwrap()[1].row.id;
    let message = format!("/a/firma/spool/{id}");
    for path in ["/", "/spool", "/events", "/a/firma", "/a/firma/spool", "/a/firma/events", "/a/firma/log", &message] {
        let page = site.get(path, "").await;
        assert_eq!(page.status, 401, "{path}");
        assert!(page.body.contains("pulsemx account link"), "{path}");
        assert!(!page.body.contains("firma.example"), "{path}");
    }
    assert_eq!(site.get("/", "pulsemx=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await.status, 401);
}

#[tokio::test]
async fn a_link_from_another_site_asks_once_more_so_that_the_strict_cookie_is_sent() {
    let site = Site::open().await;
    let page = site.send("GET", "/", "", &[("Sec-Fetch-Site", "cross-site")], "").await;
    assert_eq!(page.status, 401);
    assert!(page.body.contains("http-equiv=\"refresh\""));
    let page = site.send("GET", "/", "", &[("Sec-Fetch-Site", "same-origin")], "").await;
    assert!(!page.body.contains("http-equiv=\"refresh\""), "only once");
}

#[tokio::test]
async fn an_account_of_others_looks_like_no_account_at_all() {
    let site = Site::busy().await;
    let foreign = message(&SpoolIds::default(), OTHER, 5, "x@y.example", "geheim@praxis.example", "geheim");
    let id = foreign.row.id;
    site.spool.messages.lock().unwrap().push(foreign);
    let cookie = site.signed_in(OWNER);
    let nowhere = site.get("/a/nobody", &cookie).await;
    assert_eq!(nowhere.status, 404);
    for path in
        ["/a/praxis-beispiel", "/a/praxis-beispiel/spool", "/a/praxis-beispiel/events", "/a/praxis-beispiel/log"]
    {
        let page = site.get(path, &cookie).await;
        assert_eq!((page.status, &page.body), (404, &nowhere.body), "{path}");
    }
    let page = site.get(&format!("/a/firma/spool/{id}"), &cookie).await;
    assert_eq!(page.status, 404);
    assert!(!page.body.contains("geheim"));
    let token = site.token(&cookie).await;
    let reply = site.post(&format!("/a/firma/spool/{id}/retry"), &cookie, &format!("csrf={token}")).await;
    assert_eq!(reply.status, 404);
    assert!(site.spool.retried.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_operator_opens_every_account_but_reads_no_subject() {
    let site = Site::busy().await;
    let cookie = site.signed_in(OPERATOR);
    let home = site.get("/?lang=en", &cookie).await;
    assert!(home.body.contains("href=\"/a/firma\"") && home.body.contains("href=\"/a/praxis-beispiel\""));
    let id = site.spool.messages.lock().unwrap()[1].row.id;
    for path in ["/a/firma/spool".to_owned(), format!("/a/firma/spool/{id}")] {
        let page = site.get(&path, &cookie).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("einkauf@lieferant.example"));
        assert!(!page.body.contains("Bestellung 4711") && !page.body.contains("Jemand"), "{path}");
    }
    let owner = site.get("/a/firma/spool", &site.signed_in(OWNER)).await;
    assert!(owner.body.contains("Bestellung 4711") && owner.body.contains("Vertragsentwurf zur Prüfung"));
}

#[tokio::test]
async fn a_retry_needs_the_session_the_token_our_own_page_and_the_role() {
    let site = Site::busy().await;
    let cookie = site.signed_in(OWNER);
    let token = site.token(&cookie).await;
    let other_token = site.token(&site.signed_in(OWNER)).await;
    assert_ne!(token, other_token);
    let body = format!("csrf={token}");
    let id = site.spool.messages.lock().unwrap()[0].row.id;
    let path = format!("/a/firma/spool/{id}/retry");
    assert_eq!(site.post(&path, "", &body).await.status, 401);
    assert_eq!(site.post(&path, &cookie, "").await.status, 403);
    assert_eq!(site.post(&path, &cookie, &format!("csrf={other_token}")).await.status, 403);
    assert_eq!(site.post_from("https://evil.example", &path, &cookie, &body).await.status, 403);
    assert_eq!(site.send("POST", &path, &cookie, &[], &body).await.status, 403, "no origin at all");
    let cross = [("Origin", site.origin.as_str()), ("Sec-Fetch-Site", "same-site")];
    assert_eq!(site.send("POST", &path, &cookie, &cross, &body).await.status, 403);
    let viewer = site.signed_in(VIEWER);
    let viewer_body = format!("csrf={}", site.token(&viewer).await);
    assert_eq!(site.post(&path, &viewer, &viewer_body).await.status, 403);
    assert_eq!(site.post("/a/firma/retry", &viewer, &viewer_body).await.status, 403);
    assert!(site.spool.retried.lock().unwrap().is_empty());

    let done = site.post(&path, &cookie, &body).await;
    assert_eq!(done.status, 303);
    assert!(site.get(done.header("location").unwrap(), &cookie).await.body.contains("Will be tried again"));
    assert_eq!(site.post("/a/firma/retry", &cookie, &body).await.status, 303);
    let retried = site.spool.retried.lock().unwrap().clone();
    assert!(retried[0].starts_with("Message(") && retried[0].ends_with("by Eva Chefin"), "{retried:?}");
    assert_eq!(retried[1], "Account(AccountId(1)) by Eva Chefin");
    assert_eq!(*site.flushes.retried.lock().unwrap(), [FIRMA, FIRMA]);
}

#[tokio::test]
async fn a_message_shared_with_another_account_is_not_retried_for_both() {
    let site = Site::busy().await;
    let id = {
        let mut all = site.spool.messages.lock().unwrap();
        let mut foreign = all[1].row.recipients[0].clone();
        (foreign.account, foreign.mailbox) = (OTHER, "geheim@praxis.example".to_owned());
        all[1].row.recipients.push(foreign);
        all[1].row.id
    };
    let cookie = site.signed_in(OWNER);
    let page = site.get(&format!("/a/firma/spool/{id}"), &cookie).await;
    assert!(!page.body.contains("geheim") && !page.body.contains("/spool/do\""));
    assert!(page.body.contains("another account") || page.body.contains("anderes Konto"));
    let body = format!("csrf={}", site.token(&cookie).await);
    assert_eq!(site.post(&format!("/a/firma/spool/{id}/retry"), &cookie, &body).await.status, 404);
}

#[tokio::test]
async fn signing_out_ends_the_session_everywhere() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let body = format!("csrf={}", site.token(&cookie).await);
    let reply = site.post("/sign-out", &cookie, &body).await;
    assert_eq!(reply.status, 303);
    assert!(reply.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(site.get("/", &cookie).await.status, 401);
}

#[tokio::test]
async fn every_answer_carries_the_hardening_headers() {
    let site = Site::busy().await;
    let mut pages = every_page(&site).await;
    let css = pages[0].1.attribute("href=\"/assets/app.");
    pages.push(("health".to_owned(), site.get("/healthz", "").await));
    for (path, page) in &pages {
        let policy = page.header("content-security-policy").unwrap_or_else(|| panic!("{path} has no policy"));
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(part), "{path}: {part}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(page.header("referrer-policy"), Some("same-origin"), "{path}");
    }
    let asset = site.get(&format!("/assets/app.{css}"), "").await;
    assert_eq!((asset.status, asset.header("content-type")), (200, Some("text/css; charset=utf-8")));
    assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(site.get("/assets/app.css", "").await.status, 404);
}

#[tokio::test]
async fn hostile_text_is_text_on_every_page() {
    let site = Site::busy().await;
    site.flushes.view.lock().unwrap().last_problem = Some(HOSTILE.to_owned());
    site.flushes.view.lock().unwrap().last_tls = Some(HOSTILE.to_owned());
    for detail in site.spool.messages.lock().unwrap().iter_mut() {
        detail.header_from = HOSTILE.to_owned();
        detail.message_id = HOSTILE.to_owned();
        detail.helo = HOSTILE.to_owned();
        detail.trace = HOSTILE.to_owned().into();
    }
    let mut seen = 0;
    for (path, page) in every_page(&site).await {
        for banned in [
            "<script>alert",
            "<img",
            "<svg/onload",
            "onerror=\"",
            "\u{202e}",
            "style=\"",
            "<style",
            "onclick",
            "javascript:",
        ] {
            assert!(!page.body.contains(banned), "{path} holds {banned}");
        }
        seen += page.body.matches("alert(1)").count();
    }
    assert!(seen >= 20, "the hostile text was shown {seen} times only");
}

#[tokio::test]
async fn the_page_speaks_the_language_that_was_asked_for_and_remembers_it() {
    let site = Site::busy().await;
    let cookie = site.signed_in(OWNER);
    let german = site.send("GET", "/", &cookie, &[("Accept-Language", "de-AT,en;q=0.5")], "").await;
    assert!(german.body.contains("<html lang=\"de\"") && german.body.contains("Ihre Post ist sicher"));
    let english = site.send("GET", "/?lang=en", &cookie, &[("Accept-Language", "de")], "").await;
    assert!(english.body.contains("<html lang=\"en\"") && english.body.contains("Your mail is safe"));
    assert!(english.header("set-cookie").unwrap().starts_with("lang=en;"));
    let kept = site.send("GET", "/", &format!("{cookie}; lang=en"), &[("Accept-Language", "de")], "").await;
    assert!(kept.body.contains("<html lang=\"en\""));
    let dark = site.get("/?theme=dark", &cookie).await;
    assert!(dark.body.contains("data-theme=\"dark\"") && dark.header("set-cookie").unwrap().starts_with("theme=dark;"));
    let odd = site.get("/?theme=%22%3E%3Cscript%3E&lang=xx", &cookie).await;
    assert!(odd.header("set-cookie").is_none() && odd.body.contains("data-theme=\"\""));
}

#[tokio::test]
async fn the_last_ninety_days_are_bars_and_a_table_in_both_languages() {
    let site = Site::busy().await;
    let today = fakes::ago(0).date_naive();
    let counted = DaySummary {
        day: today - chrono::Days::new(3),
        online_s: 86_400 - 7_320,
        offline_s: 7_200,
        no_data_s: 120,
        outages: 2,
        address_changes: 1,
    };
    let row = DayRow { counted, until_s: 86_400, then: Standing::Online };
    *site.log.days.lock().unwrap() = vec![row];
    let cookie = site.signed_in(OWNER);
    let german = site.get("/a/firma?lang=de", &cookie).await.body;
    assert!(german.contains("Erreichbar zu 97,") && german.contains("<th scope=\"col\">Ohne Daten</th>"));
    let english = site.get("/a/firma?lang=en", &cookie).await.body;
    assert!(english.contains("<td>2</td><td>2:00 h</td><td>2:00 min</td><td>1</td>"));
    let bars = |tone: &str| english.matches(&format!("<rect class=\"day-{tone}\"")).count();
    assert_eq!((bars("none"), bars("ok"), bars("bad"), bars("gap"), bars("move")), (86, 4, 1, 1, 1));
}

#[tokio::test]
async fn each_state_has_its_sentence() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    for (state, silent, sentence) in [
        (LineState::New, 0, "Waiting for the first heartbeat."),
        (LineState::Online, 2, "Mail goes straight to your server."),
        (LineState::Suspect, 8, "One heartbeat is missing."),
        (LineState::Suspect, 13, "Two heartbeats are missing."),
        (LineState::Offline, 74, "1:09 min"),
        (LineState::Returning, 1, "Your server is back."),
    ] {
        *site.lines.line.lock().unwrap() = Some(line(state, silent));
        let page = site.get("/?lang=en", &cookie).await;
        assert!(page.body.contains(sentence), "{state}: {sentence}");
    }
}

#[tokio::test]
async fn the_list_shows_what_its_filter_says_and_goes_on_where_it_ended() {
    let site = Site::open().await;
    let ids = SpoolIds::default();
    *site.spool.messages.lock().unwrap() =
        (0..120).rev().map(|n| message(&ids, FIRMA, n, &format!("s{n}@x.example"), "a@firma.example", "s")).collect();
    let cookie = site.signed_in(OWNER);
    let mut path = "/a/firma/spool?filter=waiting".to_owned();
    let mut seen = 0;
    loop {
        let page = site.get(&path, &cookie).await;
        seen += page.body.matches("@x.example</bdi></a>").count();
        let Some(begin) = page.body.find("after=").filter(|_| page.body.contains("rel=\"next\"")) else { break };
        let after: String =
            page.body[page.body.rfind("&amp;after=").unwrap_or(begin) + 11..].chars().take(13).collect();
        path = format!("/a/firma/spool?filter=waiting&after={after}");
    }
    assert_eq!(seen, 120);
    let none = site.get("/a/firma/spool?filter=refused&lang=en", &cookie).await;
    assert!(none.body.contains("Nothing here."));
}

#[tokio::test]
async fn an_open_page_gets_the_whole_state_first_and_then_each_change_within_300_ms() {
    let site = Site::open().await;
    let cookie = format!("{}; lang=en", site.signed_in(OWNER));
    let mut stream = site.stream("/a/firma/events", &cookie).await;
    let first = stream.event().await;
    assert_eq!((first["state"].as_str(), first["held"].as_u64()), (Some("online"), Some(0)));
    assert!(first["strip"]["beats"].as_array().unwrap().len() > 50);

    *site.lines.line.lock().unwrap() = Some(line(LineState::Offline, 74));
    *site.spool.messages.lock().unwrap() = busy_spool();
    let row = fakes::history(Some(69)).remove(0);
    site.lines.events.send(LineEvent::Changed(row)).unwrap();
    let offline = stream.event_within_300_ms().await;
    assert_eq!((offline["state"].as_str(), offline["held"].as_u64()), (Some("offline"), Some(13)));
    assert_eq!(offline["headline"], "Offline for ");
    assert_eq!(offline["step"], 3);

    site.spool.messages.lock().unwrap().truncate(3);
    site.stored.send(FIRMA).unwrap();
    assert_eq!(stream.event_within_300_ms().await["held"], 2);
    site.stored.send(OTHER).unwrap();
    *site.lines.line.lock().unwrap() = Some(line(LineState::Returning, 1));
    site.flushes.view.lock().unwrap().is_delivering = true;
    site.flushes.events.send(FIRMA).unwrap();
    assert_eq!(stream.event_within_300_ms().await["state"], "delivering");
}

#[tokio::test]
async fn an_open_list_gets_its_rows_and_the_operator_gets_them_without_subject() {
    let site = Site::busy().await;
    let own = site.stream("/a/firma/events?filter=waiting", &site.signed_in(OWNER)).await.event().await;
    assert_eq!(own["lines"].as_array().unwrap().len(), 13);
    assert_eq!(own["lines"][0]["subject"], "Bestellung 4711");
    assert_eq!(own["count_held"], "14");
    let operator = site.stream("/a/firma/events?filter=waiting", &site.signed_in(OPERATOR)).await.event().await;
    assert_eq!(operator["lines"][0]["from"], "einkauf@lieferant.example");
    assert_eq!(operator["lines"][0]["subject"], "");
    assert!(!operator.to_string().contains("Bestellung"));
    let status = site.stream("/a/firma/events", &site.signed_in(OWNER)).await.event().await;
    assert!(status.get("lines").is_none(), "a status page has no list");
}

#[tokio::test]
async fn the_shortcut_leads_to_the_stream_of_the_only_account() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    assert_eq!(site.get("/events", &cookie).await.header("location"), Some("/a/firma/events"));
    assert_eq!(site.get("/spool", &cookie).await.header("location"), Some("/a/firma/spool"));
    assert_eq!(site.get("/spool", &site.signed_in(OPERATOR)).await.header("location"), Some("/"));
}

#[tokio::test]
async fn the_two_hundred_and_first_open_page_of_an_account_is_told_to_wait() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(site.stream("/a/firma/events", &cookie).await);
    }
    let refused = site.get("/a/firma/events", &cookie).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("60")));
    assert_eq!(site.get("/", &cookie).await.status, 200, "pages go on");
}

#[tokio::test]
async fn alive_and_ready_are_two_questions() {
    let site = Site::open().await;
    assert_eq!(site.get("/healthz", "").await.body, "ok\n");
    let reply = site.get("/ready", "").await;
    assert_eq!((reply.status, reply.body.as_str()), (503, "store: starting\n"));
    site.readiness.ready("store");
    assert_eq!(site.get("/ready", "").await.status, 200);
    site.readiness.not_ready("store", "disk full");
    assert_eq!(site.get("/ready", "").await.body, "store: disk full\n");
}

#[tokio::test]
async fn a_store_that_fails_is_said_in_words_and_leaks_nothing() {
    let site = Site::busy().await;
    *site.spool.is_broken.lock().unwrap() = true;
    let page = site.get("/a/firma/spool?lang=en", &site.signed_in(OWNER)).await;
    assert_eq!(page.status, 503);
    assert!(page.body.contains("Your mail is not affected") && !page.body.contains("disk is gone"));
}

#[tokio::test]
async fn open_streams_do_not_hold_up_the_stop() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let mut stream = site.stream("/a/firma/events", &cookie).await;
    stream.event().await;
    site.shutdown.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(3), site.server.stopped()).await.expect("stops in time");
}

#[tokio::test]
async fn a_public_address_without_a_certificate_is_not_served() {
    let error = Site::try_listen("0.0.0.0:0", None).await.err().unwrap();
    assert!(error.to_string().contains("with TLS only"), "{error}");
}

#[tokio::test]
async fn a_form_of_a_megabyte_is_refused() {
    let site = Site::open().await;
    let cookie = site.signed_in(OWNER);
    let reply = site.post("/a/firma/retry", &cookie, &format!("csrf={}", "a".repeat(1_000_000))).await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn a_public_address_speaks_tls_only_and_its_cookie_is_bound_to_the_host() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let pair = rcgen::generate_simple_self_signed(vec!["mx2.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(ring.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
    let site = Site::try_listen("0.0.0.0:0", Some(Arc::new(server))).await.unwrap();
    let address = ("127.0.0.1", site.server.addresses()[0].port());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let secret = site.link(OWNER).await;
    let mut stream = connector
        .connect("mx2.example".try_into().unwrap(), tokio::net::TcpStream::connect(address).await.unwrap())
        .await
        .unwrap();
    let request = format!(
        "POST /sign-in/{secret} HTTP/1.0\r\nHost: mx2.example\r\nOrigin: https://mx2.example\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply).await;
    assert!(reply.contains(" 303 ") && reply.contains("set-cookie: __Host-pulsemx="), "{reply}");
    assert!(reply.contains("; Secure"), "{reply}");

    let mut plain = tokio::net::TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut octets = Vec::new();
    let _ = plain.read_to_end(&mut octets).await;
    assert!(!octets.starts_with(b"HTTP"), "no plain HTTP on a public address");
}

struct Buttons(std::sync::Mutex<Vec<String>>);

impl DemoControls for Buttons {
    fn buttons(&self) -> Vec<DemoButton> {
        vec![DemoButton { id: "drop-line".to_owned(), label: "Drop the line".to_owned() }]
    }
    fn press(&self, id: &str) {
        self.0.lock().unwrap().push(format!("pressed {id}"));
    }
    fn story(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn the_demo_card_is_there_only_in_the_demo_and_its_buttons_are_guarded() {
    let plain = Site::open().await;
    let cookie = plain.signed_in(OWNER);
    assert!(!plain.get("/", &cookie).await.body.contains("id=\"demo\""));
    let body = format!("csrf={}", plain.token(&cookie).await);
    assert_eq!(plain.post("/a/firma/demo/drop-line", &cookie, &body).await.status, 404);

    let buttons = Arc::new(Buttons(std::sync::Mutex::default()));
    let settings = Settings { demo_controls: Some(buttons.clone()), ..Settings::default() };
    let site = Site::with(settings).await;
    let cookie = site.signed_in(OWNER);
    assert!(site.get("/", &cookie).await.body.contains("Drop the line"));
    assert_eq!(site.post("/a/firma/demo/drop-line", &cookie, "").await.status, 403);
    let body = format!("csrf={}", site.token(&cookie).await);
    assert_eq!(site.post("/a/firma/demo/drop-line", &cookie, &body).await.status, 303);
    assert_eq!(buttons.story(), ["pressed drop-line"]);
    assert!(site.get("/", &cookie).await.body.contains("pressed drop-line"));
}
