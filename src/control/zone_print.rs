//! Customers' zones as text for a terminal.

use super::print::{safe, table, time};
use super::reply::ZoneShown;

/// The answer to `zone list`.
pub(super) fn zones(shown: &[ZoneShown]) -> String {
    if shown.is_empty() {
        return "no zones; add one with `pulsemx zone add ACCOUNT ZONE`\n".to_owned();
    }
    let mut rows = vec![["ZONE", "ACCOUNT", "SERIAL", "RECORDS"].map(str::to_owned).to_vec()];
    rows.extend(shown.iter().map(|zone| {
        vec![zone.zone.to_string(), zone.account.to_string(), zone.serial.to_string(), zone.records.len().to_string()]
    }));
    table(&rows)
}

/// The answer to `zone show`.
pub(super) fn zone(shown: &ZoneShown) -> String {
    let mut text = format!("{} of {}, serial {}\n\n", shown.zone, shown.account, shown.serial);
    for record in &shown.records {
        text.push_str(&format!("{}\n", safe(record)));
    }
    for change in &shown.changes {
        let why = if change.why.is_empty() { String::new() } else { format!(": {}", safe(&change.why)) };
        text.push_str(&format!("\n{} {}, serial {}{why}\n", time(change.at), safe(&change.who), change.serial));
        for line in &change.what {
            text.push_str(&format!("  {}\n", safe(line)));
        }
    }
    text
}

/// The answer to `zone check`.
pub(super) fn checked(is_good: bool, findings: &[String]) -> String {
    let mut text: String = findings.iter().map(|finding| format!("{}\n", safe(finding))).collect();
    text.push_str(if is_good { "the zone can be served\n" } else { "the zone cannot be served so\n" });
    text
}
