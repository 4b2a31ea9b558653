//! Updates from devices as text for a terminal.

use super::print::{age, pairs, safe, table, time};
use super::reply::{AccountShown, HostShown, UpdateTokenShown};
use crate::base::{DomainName, WallTime};
use crate::update::{Source, TokenKind};

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// The answer to `token new`: the only time that the token is shown.
pub(super) fn token(shown: &UpdateTokenShown) -> String {
    let mut rows = vec![
        ("account", shown.account.to_string()),
        ("number", shown.id.to_string()),
        ("kind", shown.kind.as_str().to_owned()),
        ("sets", shown.host.as_ref().map_or_else(|| "all names of the account".to_owned(), ToString::to_string)),
        ("valid until", shown.expires_at.map_or_else(|| "revoked".to_owned(), time)),
        ("token", shown.token.clone().unwrap_or_default()),
    ];
    rows.extend(shown.url.clone().map(|url| ("address", url)));
    let how = match shown.kind {
        TokenKind::Update => "The device logs in with the account's name and the token as password (dyndns2).",
        TokenKind::Acme => "An ACME client registers with it as with acme-dns; it sets no address.",
        TokenKind::Duckdns | TokenKind::Ping => {
            "The device calls this address; whoever knows it can move this one name."
        }
    };
    format!("{}\nThe token is shown this once. {how}\n", pairs(&rows))
}

/// The answer to `token list`.
pub(super) fn tokens(shown: &[UpdateTokenShown]) -> String {
    if shown.is_empty() {
        return "no update tokens; make one with `pulsemx token new ACCOUNT`\n".to_owned();
    }
    let mut rows = vec![["NUMBER", "ACCOUNT", "KIND", "SETS", "MADE", "VALID UNTIL"].map(str::to_owned).to_vec()];
    rows.extend(shown.iter().map(|token| {
        vec![
            token.id.to_string(),
            token.account.to_string(),
            token.kind.as_str().to_owned(),
            token.host.as_ref().map_or_else(|| "all names".to_owned(), DomainName::to_string),
            time(token.created_at),
            token.expires_at.map_or_else(|| "revoked".to_owned(), time),
        ]
    }));
    table(&rows)
}

/// The answer to `host list`.
pub(super) fn hosts(shown: &[HostShown], now: WallTime) -> String {
    let mut rows = vec![["NAME", "ADDRESSES", "INTERFACE ID", "CHANGED"].map(str::to_owned).to_vec()];
    rows.extend(shown.iter().map(|host| {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        let addresses = if host.withdrawn { "withdrawn".to_owned() } else { addresses.join(", ") };
        vec![
            host.host.to_string(),
            or_dash(Some(addresses).filter(|text| !text.is_empty())),
            or_dash(host.interface_id.map(|id| id.to_string())),
            or_dash(host.changed_at.map(|at| format!("{} ago", age(at, now)))),
        ]
    }));
    table(&rows)
}

/// What `account show` adds.
pub(super) fn of_account(shown: &AccountShown, now: WallTime) -> String {
    let source = match (shown.source, shown.detection_s) {
        (Source::None, _) => "nothing yet: no heartbeat and no update came".to_owned(),
        (Source::Beats, seconds) => format!("heartbeats{}", noticed(seconds)),
        (Source::Updates, seconds) => format!("updates and a probe of the mail server{}", noticed(seconds)),
    };
    let mut rows = vec![("watched by", source)];
    if let Some(expiry) = shown.expiry_s {
        rows.push(("updates count", format!("for {} min", expiry / 60)));
    }
    if !shown.backup_mx {
        rows.push(("backup MX", "switched off by the account (backmx=NO)".to_owned()));
    }
    let mut text = pairs(&rows);
    if !shown.devices.is_empty() {
        let mut rows =
            vec![["DEVICE", "LAST REQUEST", "FROM", "AGENT", "ANSWER", "BECAUSE"].map(str::to_owned).to_vec()];
        rows.extend(shown.devices.iter().map(|device| {
            vec![
                device.device.clone(),
                format!("{} ago", age(device.at, now)),
                device.peer.to_string(),
                safe(&device.agent),
                safe(&device.answer),
                device.because.clone(),
            ]
        }));
        text.push('\n');
        text.push_str(&table(&rows));
    }
    text
}

fn noticed(seconds: Option<u64>) -> String {
    seconds.map(|seconds| format!("; an outage is noticed within {seconds} s")).unwrap_or_default()
}
