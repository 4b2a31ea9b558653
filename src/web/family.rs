//! What the page says of IPv4 and IPv6: each is proven, and goes, by itself.

use super::format;
use super::view::Fact;
use super::words::Locale;
use crate::liveness::{Families, FamilyView};

/// One line for each family that is vouched for, and one for a mail server that is named and not proven.
pub(super) fn facts(families: &Families, locale: Locale) -> Vec<Fact> {
    let both = [families.v4, families.v6].into_iter().flatten();
    let mut list: Vec<Fact> = both.map(|family| fact(&family, locale)).collect();
    if let Some(named) = families.not_proven {
        list.push(Fact { name: locale.fact_named(), value: locale.named_not_proven(named), tone: "warn" });
    }
    list
}

fn fact(family: &FamilyView, locale: Locale) -> Fact {
    let name = if family.address.is_ipv4() { "IPv4" } else { "IPv6" };
    let goes_after = format::short_span(family.goes_after, locale);
    let since = family.proven_since.map(|at| format::day(at, locale).text);
    let mut value = format!("{}, {}", family.address, locale.family(since.as_deref(), &goes_after));
    if let Some(host) = family.mail_host {
        value = format!("{host} ({}), {value}", locale.beside_client());
    }
    let is_late = family.silent_for.is_some_and(|silent| silent > family.goes_after / 2);
    Fact { name, value, tone: if is_late || family.proven_since.is_none() { "warn" } else { "" } }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use chrono::TimeZone;

    #[test]
    fn each_family_is_told_with_its_proof_and_its_own_deadline() {
        let family = |address: &str, since: Option<i64>, after: u64| FamilyView {
            address: address.parse().unwrap(),
            path: 0,
            proven_since: since.map(|second| chrono::Utc.timestamp_opt(1_795_492_800 + second, 0).unwrap()),
            silent_for: since.map(|_| Duration::from_secs(1)),
            goes_after: Duration::from_secs(after),
            loss_percent: Some(0.0),
            mail_host: None,
        };
        let v6 = FamilyView { mail_host: "2001:db8::25".parse().ok(), ..family("2001:db8::7", None, 29) };
        let v4 = Some(family("203.0.113.7", Some(-600), 17));
        let families = Families { v4, v6: Some(v6), not_proven: "2001:db8:9::1".parse().ok() };
        let told = facts(&families, Locale::En);
        let told: Vec<_> = told.iter().map(|fact| (fact.name, fact.value.as_str(), fact.tone)).collect();
        let v4 = "203.0.113.7, proven since 24 Nov 03:50 UTC, withdrawn after 17 s of silence";
        let v6 = "2001:db8::25 (your mail server beside the client), 2001:db8::7, not heard since we started, withdrawn after 29 s of silence";
        let named = "2001:db8:9::1: not in the network that the heartbeats come from, so not in DNS";
        assert_eq!(told, [("IPv4", v4, ""), ("IPv6", v6, "warn"), ("Named by your client", named, "warn")]);
    }
}
