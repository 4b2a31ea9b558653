//! Tokens of the API as text for a terminal.

use super::print::{pairs, safe, table, time};
use super::reply::UpdateTokenShown;
use super::token_request::{ApiTokenShown, FreshTokenShown};
use super::update_print;
use crate::base::WallTime;

/// The answer to `token new --scope` and `token rotate`: the only time that the token is shown.
pub(super) fn fresh(shown: &FreshTokenShown) -> String {
    let token = &shown.shown;
    let mut rows = vec![
        ("account", token.account.to_string()),
        ("id", token.id.to_string()),
        ("label", safe(&token.label)),
        ("opens", token.scopes.to_string()),
        ("valid until", token.expires_at.map_or_else(|| "revoked".to_owned(), time)),
    ];
    rows.extend(token.old_until.map(|until| ("old one until", time(until))));
    rows.push(("token", shown.token.clone()));
    let how = "Programs send it as `Authorization: Bearer TOKEN` to /api/v1; see docs/API.md.";
    format!("{}\nThe token is shown this once. {how}\n", pairs(&rows))
}

/// The answer to `token list`: tokens of devices, then those of the API.
pub(super) fn both(tokens: &[UpdateTokenShown], api_tokens: &[ApiTokenShown], now: WallTime) -> String {
    match (tokens.is_empty(), api_tokens.is_empty()) {
        (true, false) => list(api_tokens, now),
        (_, true) => update_print::tokens(tokens),
        (false, false) => format!("{}\n{}", update_print::tokens(tokens), list(api_tokens, now)),
    }
}

fn list(tokens: &[ApiTokenShown], now: WallTime) -> String {
    let mut rows =
        vec![["API TOKEN", "ACCOUNT", "LABEL", "OPENS", "MADE", "LAST USE", "VALID UNTIL"].map(str::to_owned).to_vec()];
    rows.extend(tokens.iter().map(|token| {
        let end = match token.expires_at {
            None => "revoked".to_owned(),
            Some(end) if end <= now => "run out".to_owned(),
            Some(end) => time(end),
        };
        vec![
            token.id.to_string(),
            token.account.to_string(),
            safe(&token.label),
            token.scopes.to_string(),
            time(token.created_at),
            token.last_used_at.map_or_else(|| "never".to_owned(), time),
            end,
        ]
    }));
    table(&rows)
}
