//! Channels of alerts as text for a terminal.

use super::print::{age, pairs, safe, table};
use crate::alert::office::ChannelShown;
use crate::base::WallTime;

/// The answer to `alert add`: the only time that a key is shown.
pub(super) fn added(id: i64, key: Option<&str>) -> String {
    let mut rows = vec![("channel", id.to_string())];
    rows.extend(key.map(|key| ("key", key.to_owned())));
    let hint =
        key.map_or("", |_| "The key signs each request and is shown this once; docs/ALERTS.md says how to check it.\n");
    format!("{}{hint}Try it: pulsemx alert test {id}\n", pairs(&rows))
}

/// The answer to `alert list`.
pub(super) fn channels(shown: &[ChannelShown], now: WallTime) -> String {
    if shown.is_empty() {
        return "no channels: nobody is told but by the log; add one with `pulsemx alert add`\n".to_owned();
    }
    let head = ["ID", "ACCOUNT", "CHANNEL", "TELLS", "DELAY", "QUIET", "LAST SENT", "WAITING", "LAST ERROR"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let ago = |at: Option<WallTime>| at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", age(at, now)));
    rows.extend(shown.iter().map(|channel| {
        let kinds: Vec<&str> = channel.kinds.iter().map(|kind| kind.as_str()).collect();
        let quiet = channel.quiet.as_ref().map(|quiet| format!("{quiet} {}", channel.zone));
        let error = channel.last_error.as_ref().map(|error| {
            let count = if channel.is_failing() { format!(", {} in a row", channel.failures) } else { String::new() };
            format!("{} ({}{count}; {} lost)", safe(error), ago(channel.last_error_at), channel.lost_total)
        });
        vec![
            channel.id.to_string(),
            channel.account.clone().unwrap_or_else(|| "operator".to_owned()),
            safe(&channel.url),
            if channel.recovery { kinds.join(",") } else { format!("{}, no ends", kinds.join(",")) },
            format!("{} s", channel.delay_s),
            quiet.unwrap_or_else(|| "-".to_owned()),
            ago(channel.last_sent_at),
            channel.waiting.to_string(),
            error.unwrap_or_else(|| "-".to_owned()),
        ]
    }));
    table(&rows)
}
