//! What the page says of IPv4 and IPv6: each is proven, and goes, by itself.

use super::format;
use super::view::Fact;
use super::words::Locale;
use crate::liveness::{Families, FamilyView, LineView};

/// One line for each family that is vouched for, and one for a mail server that is named and not proven.
pub(super) fn facts(families: &Families, locale: Locale) -> Vec<Fact> {
    let both = [families.v4, families.v6].into_iter().flatten();
    let mut list: Vec<Fact> = both.map(|family| fact(&family, locale)).collect();
    if let Some(named) = families.not_proven {
        list.push(Fact { name: locale.fact_named(), value: locale.named_not_proven(named), tone: "warn" });
    }
    list
}

/// Of how many datagrams the way swallowed: towards us, as we count, and there and back, as the client counts.
pub(super) fn loss(line: &LineView, locale: Locale) -> Option<Fact> {
    line.last_beat?;
    let (up, both) = (tenths(line.loss_percent), line.unanswered_percent.map(tenths));
    let tone = if up.max(both.unwrap_or(0)) >= MUCH_TENTHS { "warn" } else { "" };
    Some(Fact { name: locale.fact_loss(), value: locale.loss(up, both), tone })
}

/// From so many tenths of a percent on a loss is worth a look.
const MUCH_TENTHS: u64 = 100;

/// A share of 64 datagrams: the sign and the range are certain, the rounding is for the eye.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000 before")]
fn tenths(percent: f32) -> u64 {
    (percent * 10.0).clamp(0.0, 1_000.0).round() as u64
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
    use crate::base::{AccountId, EndpointId, Moment};
    use crate::liveness::LineState;
    use chrono::TimeZone;

    #[test]
    fn loss_is_told_for_the_way_here_and_for_both_ways_if_a_client_counts() {
        let told = |up, both, locale| {
            let line = LineView {
                account: AccountId(1),
                endpoint: EndpointId(1),
                state: LineState::Online,
                since: None,
                last_beat: Some(Moment::from_millis(1)),
                last_beat_at: None,
                address: None,
                interval: Duration::from_secs(5),
                missed: 0,
                mail_ok: None,
                loss_percent: up,
                unanswered_percent: both,
                name_held_until: None,
                recent_beats: Vec::new(),
            };
            loss(&line, locale).map(|fact| (fact.value, fact.tone))
        };
        let (en, de) = (Locale::En, Locale::De);
        assert_eq!(told(1.5, None, en), Some(("1.5% on the way to us".to_owned(), "")));
        assert_eq!(told(1.5, Some(10.0), en), Some(("1.5% on the way to us, 10% there and back".to_owned(), "warn")));
        assert_eq!(told(0.0, Some(2.5), de), Some(("0 % auf dem Weg zu uns, 2,5 % hin und zurück".to_owned(), "")));
    }

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
