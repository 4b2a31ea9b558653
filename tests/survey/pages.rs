//! The pages of a running server look at a domain by the same driver: from the button to the verdict in words.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::dns::Zone;
use super::support::{Server, free_port, wait_for};

const NAME: &str = "firma.dyn.example";
const US: &str = "mx2.pulsemx.example";
const LIMIT: Duration = Duration::from_secs(60);

/// Head and body of one request of a browser.
fn request(server: &Server, method: &str, path: &str, cookie: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server.web).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nCookie: {cookie}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {1}\r\n\r\n{body}",
        server.web,
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let from = text.find(begin).unwrap_or_else(|| panic!("{begin} is not in {text}")) + begin.len();
    text[from..].split(end).next().unwrap()
}

fn signed_in(server: &Server) -> String {
    let link = server.command(&["account", "link", "firma"]);
    let url = link["url"].as_str().unwrap();
    let path = &url[url.find("/sign-in/").unwrap()..];
    let (head, _) = request(server, "POST", path, "", "");
    format!("pulsemx={}", between(&head, "pulsemx=", ";"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_button_on_the_page_leads_to_a_verdict_on_each_record() {
    let zone = Zone::default()
        .ns("firma.example", "ns1.provider.example.")
        .mx("firma.example", 10, &format!("{US}."))
        .mx("firma.example", 20, &format!("{NAME}."))
        .mx("firma.example", 30, "mx.alt.example.")
        .address(NAME, "127.0.0.25")
        .address("mx.alt.example", "192.0.2.77")
        .address(US, "127.0.0.25");
    let dns = zone.serve().await;
    let more = format!("[checks]\nresolvers = [\"{}\"]\n", dns.address);
    let page = tokio::task::block_in_place(|| {
        let server = Server::start_with_names(&more);
        server.add_account("firma", free_port());
        let cookie = signed_in(&server);
        let path = "/a/firma/domains?lang=en";
        let (_, page) = request(&server, "GET", path, &cookie, "");
        assert!(page.contains("Not looked at yet"), "{page}");
        let body = format!("csrf={}", between(&page, "name=\"csrf\" value=\"", "\""));
        let (head, _) = request(&server, "POST", "/a/firma/domains/look", &cookie, &body);
        assert!(head.starts_with("HTTP/1.1 303"), "{head}");
        wait_for("what was seen", LIMIT, || {
            let (_, page) = request(&server, "GET", path, &cookie, "");
            page.contains("Something has to change").then_some(page)
        })
    });
    for wanted in [
        "comes before your server",
        "10 mx2.pulsemx.example. (TTL",
        "20 firma.dyn.example. (TTL",
        "somebody else, after us",
        "right: leads to us until your server answers",
        "firma.dyn.example. → 127.0.0.25",
        "mx2.pulsemx.example. → 127.0.0.25",
        "no SPF record",
    ] {
        assert!(page.to_lowercase().contains(&wanted.to_lowercase()), "{wanted} is not in {page}");
    }
    assert!(dns.names_asked().len() < 60, "{:?}", dns.names_asked());
}
