//! An alert as the HTTP request that each service wants.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::channel::Channel;
use super::event::Phase;
use super::store::Outgoing;
use super::words::{Language, Message, Weight};
use crate::base::WallTime;

/// Carries the seconds since 1970 at which a webhook was signed.
pub const TIMESTAMP_HEADER: &str = "Pulsemx-Timestamp";
/// Carries `v1=` and the HMAC-SHA256 of timestamp, `.` and body in hex.
pub const SIGNATURE_HEADER: &str = "Pulsemx-Signature";
/// Carries the id of the alert, the same over all attempts.
pub const ID_HEADER: &str = "Pulsemx-Id";

/// What the services have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// PUT; POST otherwise.
    pub is_put: bool,
    /// Where.
    pub url: String,
    /// Beside the content type, which is JSON.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

/// One alert in words, for one channel.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// What happened.
    pub row: &'a Outgoing,
    /// In words.
    pub message: &'a Message,
    /// In this language.
    pub language: Language,
    /// Our public name.
    pub hostname: &'a str,
}

/// The request for a channel; none for mail and commands. `now` is when it is signed.
#[must_use]
pub fn ask(channel: &Channel, secret: Option<&str>, letter: Letter<'_>, now: WallTime) -> Option<Ask> {
    let message = letter.message;
    let secret = secret.unwrap_or_default();
    let bearer = || ("Authorization", format!("Bearer {secret}"));
    let post =
        |url: String, headers, body: serde_json::Value| Ask { is_put: false, url, headers, body: body.to_string() };
    Some(match channel {
        Channel::Webhook(url) => {
            let body = document(letter).to_string();
            let stamp = now.timestamp().to_string();
            let headers = vec![
                (ID_HEADER, letter.row.id.to_string()),
                (SIGNATURE_HEADER, format!("v1={}", signature(secret.as_bytes(), &stamp, &body))),
                (TIMESTAMP_HEADER, stamp),
            ];
            Ask { is_put: false, url: url.as_str().to_owned(), headers, body }
        }
        // The document form: a header could not carry every letter.
        Channel::Ntfy { server, topic } => {
            let (priority, tag) = match message.weight {
                Weight::Good => (3, "white_check_mark"),
                Weight::Notice => (3, "information_source"),
                Weight::Urgent => (4, "warning"),
            };
            let body = json!({
                "topic": topic, "title": message.title, "message": message.text, "priority": priority, "tags": [tag],
            });
            let headers = if secret.is_empty() { Vec::new() } else { vec![bearer()] };
            post(server.join(""), headers, body)
        }
        Channel::Gotify(server) => {
            let priority = match message.weight {
                Weight::Good | Weight::Notice => 4,
                Weight::Urgent => 8,
            };
            let body = json!({ "title": message.title, "message": message.text, "priority": priority });
            post(server.join("message"), vec![("X-Gotify-Key", secret.to_owned())], body)
        }
        Channel::Matrix { server, room } => {
            let path =
                format!("_matrix/client/v3/rooms/{}/send/m.room.message/pulsemx-{}", escaped(room), letter.row.id);
            let body = json!({ "msgtype": "m.text", "body": format!("{}\n{}", message.title, message.text) });
            Ask { is_put: true, ..post(server.join(&path), vec![bearer()], body) }
        }
        Channel::Telegram { server, chat } => {
            let body = json!({ "chat_id": chat, "text": format!("{}\n{}", message.title, message.text) });
            post(server.join(&format!("bot{secret}/sendMessage")), Vec::new(), body)
        }
        Channel::Mail(_) | Channel::Command(_) => return None,
    })
}

/// What a webhook carries. Fields are added, never changed.
fn document(letter: Letter<'_>) -> serde_json::Value {
    let (row, message) = (letter.row, letter.message);
    let account = Some(&row.event.account_name).filter(|name| !name.is_empty());
    let since = row.event.since.map(|since| since.to_rfc3339());
    json!({
        "version": 1,
        "id": row.id.to_string(),
        "kind": row.event.fact.word(),
        "phase": row.event.fact.phase().as_str(),
        "is_over": row.event.fact.phase() == Phase::End,
        "account": account,
        "server": row.event.server,
        "since": since,
        "noticed_at": row.made_at.to_rfc3339(),
        "from": letter.hostname,
        "language": letter.language.as_str(),
        "title": message.title,
        "text": message.text,
        "details": row.event.fact,
    })
}

/// HMAC-SHA256 over timestamp, a full stop and body, in hex (RFC 2104). The key is the text as it was shown.
#[must_use]
pub fn signature(key: &[u8], timestamp: &str, body: &str) -> String {
    // HMAC takes keys of any length; the other arm is never taken and signs with no key.
    let mac = Hmac::<Sha256>::new_from_slice(key).or_else(|_| Hmac::<Sha256>::new_from_slice(&[]));
    mac.map(|mut mac| {
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body.as_bytes());
        data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
    })
    .unwrap_or_default()
}

/// One segment of a path (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::event::{Event, Fact};
    use crate::alert::words::Writer;
    use serde_json::Value;

    fn at(second: i64) -> WallTime {
        chrono::DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn ask_for(url: &str, secret: Option<&str>) -> Ask {
        let event = Event {
            account: None,
            account_name: "firma".to_owned(),
            endpoint: None,
            server: Some("firma.dyn.example".to_owned()),
            since: Some(at(0)),
            fact: Fact::Silent,
        };
        let message =
            Writer { language: Language::De, zone: chrono_tz::UTC, hostname: "mx2.example.net" }.write(&event, at(9));
        let row = Outgoing {
            id: 77,
            channel: 1,
            key: event.key(),
            event,
            made_at: at(9),
            due_at: at(9),
            attempts: 0,
            tried_at: None,
            is_open: true,
            sent_at: None,
        };
        let letter = Letter { row: &row, message: &message, language: Language::De, hostname: "mx2.example.net" };
        ask(&Channel::parse(url).unwrap(), secret, letter, at(10)).unwrap()
    }

    fn json(ask: &Ask) -> Value {
        serde_json::from_str(&ask.body).unwrap()
    }

    #[test]
    fn the_signature_is_that_of_the_worked_example() {
        // As in docs/ALERTS.md; made with openssl.
        let expected = "e1a85b1983c74348251b166946bcee779c73c4418c0d9f90aa9adfa087f75e89";
        assert_eq!(signature(b"0123456789abcdef01234567", "1800000000", r#"{"version":1}"#), expected);
    }

    #[test]
    fn a_webhook_is_signed_over_time_and_body() {
        let ask = ask_for("webhook:https://h.example/x?y=z", Some("0123456789abcdef01234567"));
        assert_eq!((ask.is_put, ask.url.as_str()), (false, "https://h.example/x?y=z"));
        let header = |name| ask.headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
        assert_eq!(header(TIMESTAMP_HEADER), "1800000010");
        assert_eq!(header(ID_HEADER), "77");
        let expected = format!("v1={}", signature(b"0123456789abcdef01234567", "1800000010", &ask.body));
        assert_eq!(header(SIGNATURE_HEADER), expected);
        let body = json(&ask);
        for (field, value) in [
            ("version", json!(1)),
            ("id", json!("77")),
            ("kind", json!("silent")),
            ("phase", json!("begin")),
            ("account", json!("firma")),
            ("server", json!("firma.dyn.example")),
            ("from", json!("mx2.example.net")),
            ("since", json!("2027-01-15T08:00:00+00:00")),
        ] {
            assert_eq!(body[field], value, "{field}");
        }
        assert!(!ask.body.contains("0123456789abcdef"));
    }

    #[test]
    fn each_service_gets_what_it_wants() {
        let ntfy = ask_for("ntfy:https://n.example/sub/topic", Some("tk_1"));
        assert_eq!((ntfy.url.as_str(), json(&ntfy)["topic"].as_str()), ("https://n.example/sub/", Some("topic")));
        assert_eq!(ntfy.headers, [("Authorization", "Bearer tk_1".to_owned())]);
        assert_eq!(json(&ntfy)["title"], "firma: Mailserver ist ausgefallen");
        assert_eq!(ask_for("ntfy:https://n.example/topic", None).headers, []);
        let gotify = ask_for("gotify:https://g.example", Some("tok"));
        assert_eq!(
            (gotify.url.as_str(), &gotify.headers[0]),
            ("https://g.example/message", &("X-Gotify-Key", "tok".to_owned()))
        );
        let matrix = ask_for("matrix:https://m.example/!ab:m.example", Some("tok"));
        let url = "https://m.example/_matrix/client/v3/rooms/%21ab%3Am.example/send/m.room.message/pulsemx-77";
        assert_eq!((matrix.is_put, matrix.url.as_str()), (true, url));
        let telegram = ask_for("telegram:-5", Some("1:ab"));
        assert_eq!(
            (telegram.url.as_str(), json(&telegram)["chat_id"].as_str()),
            ("https://api.telegram.org/bot1:ab/sendMessage", Some("-5"))
        );
    }
}
