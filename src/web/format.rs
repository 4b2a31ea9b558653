//! Numbers, sizes, durations, dates and foreign text as a reader of either language expects them.

use std::time::Duration;

use chrono::{Datelike, Timelike};
use chrono_tz::Tz;
use serde::Serialize;

use super::words::Locale;
use crate::base::WallTime;

/// A time for people. The text is UTC; [`text_in`](Self::text_in) has it in the zone that the reader chose, and the
/// script on the page rewrites it in that one or in the browser's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Stamp {
    /// Milliseconds since 1970.
    pub(super) ms: i64,
    /// `clock` is a time of day with seconds, `day` a day and a time.
    pub(super) form: &'static str,
    pub(super) iso: String,
    pub(super) text: String,
}

impl Stamp {
    /// In the zone that the reader chose, with its short name, as it was called at that time.
    pub(super) fn text_in(&self, zone: Option<Tz>, locale: Locale) -> String {
        let at = zone.zip(WallTime::from_timestamp_millis(self.ms)).map(|(zone, at)| at.with_timezone(&zone));
        let Some(at) = at else { return self.text.clone() };
        let day = match self.form {
            "day" => format!("{}{} {} ", at.day(), locale.pick(".", ""), locale.month(at.month())),
            _ => String::new(),
        };
        let seconds = if self.form == "clock" { format!(":{:02}", at.second()) } else { String::new() };
        format!("{day}{:02}:{:02}{seconds} {}", at.hour(), at.minute(), at.format("%Z"))
    }
}

/// A time of day, `14:31:52 UTC`.
pub(super) fn clock(at: WallTime) -> Stamp {
    let text = format!("{:02}:{:02}:{:02} UTC", at.hour(), at.minute(), at.second());
    stamp(at, "clock", text)
}

/// A day and a time, `24 Nov 14:31 UTC`.
pub(super) fn day(at: WallTime, locale: Locale) -> Stamp {
    let (dot, month) = (locale.pick(".", ""), locale.month(at.month()));
    let text = format!("{}{dot} {month} {:02}:{:02} UTC", at.day(), at.hour(), at.minute());
    stamp(at, "day", text)
}

/// A day with its year, `24 Nov 2026`, of UTC.
pub(super) fn date(at: WallTime, locale: Locale) -> String {
    format!("{}{} {} {}", at.day(), locale.pick(".", ""), locale.month(at.month()), at.year())
}

fn stamp(at: WallTime, form: &'static str, text: String) -> Stamp {
    Stamp { ms: at.timestamp_millis(), form, iso: at.format("%Y-%m-%dT%H:%M:%SZ").to_string(), text }
}

/// `12,345` or `12.345`.
pub(super) fn count(n: u64, locale: Locale) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push_str(locale.pick(".", ","));
        }
        text.push(digit);
    }
    text
}

/// One decimal, `1.4` or `1,4`; none from 100 on or where it is zero.
pub(super) fn decimal(tenths: u64, locale: Locale) -> String {
    if tenths >= 1_000 || tenths.is_multiple_of(10) {
        return count(tenths / 10, locale);
    }
    format!("{}{}{}", tenths / 10, locale.pick(",", "."), tenths % 10)
}

/// `3.8 MB`, in powers of 1,000.
pub(super) fn size(octets: u64, locale: Locale) -> String {
    for (factor, unit) in [(1_000_000_000_000u64, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB")] {
        if octets >= factor {
            return format!("{} {unit}", decimal(octets / (factor / 10), locale));
        }
    }
    format!("{octets} B")
}

/// A span that goes on: `42 s`, `1:09 min`, `3:12 h`, `2 days 4 h`. The script counts on in the same form.
pub(super) fn span(duration: Duration, locale: Locale) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}:{:02} h", seconds / 3_600, seconds / 60 % 60),
        _ => {
            let days = seconds / 86_400;
            let unit = if days == 1 { locale.pick("Tag", "day") } else { locale.pick("Tage", "days") };
            format!("{days} {unit} {} h", seconds / 3_600 % 24)
        }
    }
}

/// A span that is a setting: whole minutes without their seconds.
pub(super) fn round_span(duration: Duration, locale: Locale) -> String {
    let seconds = duration.as_secs();
    if (60..3_600).contains(&seconds) && seconds.is_multiple_of(60) {
        return format!("{} min", seconds / 60);
    }
    span(duration, locale)
}

/// A span that is over and may be short: `0.6 s`, else as [`span`].
pub(super) fn short_span(duration: Duration, locale: Locale) -> String {
    if duration >= Duration::from_secs(60) {
        return span(duration, locale);
    }
    let tenths = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).div_ceil(100);
    format!("{} s", decimal(tenths, locale))
}

/// From `earlier` to `later`; zero if the clock went back between them.
pub(super) fn between(earlier: WallTime, later: WallTime) -> Duration {
    (later - earlier).to_std().unwrap_or_default()
}

/// Foreign text made safe for the eye: characters that hide, reorder or break a line become a replacement mark.
/// Markup needs no care here, the templates escape it.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | ' ' | '\u{a0}' => ' ',
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '\u{fffd}',
            '\u{61c}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Text as the value of a query (RFC 3986 §2.3, §2.1): everything but letters, digits and `-._~` as octets.
pub(super) fn query_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            value.push(char::from(octet));
        } else {
            value.push('%');
            value.push_str(&data_encoding::HEXUPPER.encode(&[octet]));
        }
    }
    value
}

/// A raw header field for the eye: encoded words (RFC 2047 §2) in UTF-8, ASCII and Latin-1 are read, others stay.
pub(super) fn subject(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut after_word = false;
    while let Some(begin) = rest.find("=?") {
        let (before, from) = rest.split_at(begin);
        match encoded_word(from) {
            Some((word, length)) => {
                // White space between two encoded words is not shown (RFC 2047 §6.2).
                if !(after_word && before.trim().is_empty()) {
                    text.push_str(before);
                }
                text.push_str(&word);
                rest = from.get(length..).unwrap_or_default();
                after_word = true;
            }
            None => {
                text.push_str(before);
                text.push_str("=?");
                rest = from.get(2..).unwrap_or_default();
                after_word = false;
            }
        }
    }
    text.push_str(rest);
    visible(&text)
}

/// The encoded word at the head of `text` and its length in octets.
fn encoded_word(text: &str) -> Option<(String, usize)> {
    let mut parts = text.get(2..)?.splitn(4, '?');
    let (charset, encoding, body, end) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    end.strip_prefix('=')?;
    let octets = match encoding {
        "B" | "b" => data_encoding::BASE64.decode(body.as_bytes()).ok()?,
        "Q" | "q" => q_decoded(body)?,
        _ => return None,
    };
    let charset = charset.split('*').next().unwrap_or_default().to_ascii_lowercase();
    let word = match charset.as_str() {
        "utf-8" | "us-ascii" => String::from_utf8_lossy(&octets).into_owned(),
        "iso-8859-1" => octets.into_iter().map(char::from).collect(),
        _ => return None,
    };
    Some((word, 2 + charset_length(text) + encoding.len() + body.len() + 4))
}

fn charset_length(text: &str) -> usize {
    text.get(2..).and_then(|rest| rest.find('?')).unwrap_or(0)
}

/// RFC 2047 §4.2: `_` is a space, `=3F` an octet.
fn q_decoded(body: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(body.len());
    let mut bytes = body.bytes();
    while let Some(byte) = bytes.next() {
        octets.push(match byte {
            b'_' => b' ',
            b'=' => {
                let pair = [bytes.next()?.to_ascii_uppercase(), bytes.next()?.to_ascii_uppercase()];
                *data_encoding::HEXUPPER.decode(&pair).ok()?.first()?
            }
            other => other,
        });
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn a_time_is_said_in_the_zone_that_was_chosen_on_days_that_change_the_clock_too() {
        let at = |text: &str| text.parse::<WallTime>().unwrap();
        let said = |text: &str, zone: Tz| day(at(text), Locale::De).text_in(Some(zone), Locale::De);
        let berlin = chrono_tz::Europe::Berlin;
        assert_eq!(said("2026-10-25T00:30:00Z", berlin), "25. Okt. 02:30 CEST");
        assert_eq!(said("2026-10-25T01:30:00Z", berlin), "25. Okt. 02:30 CET");
        assert_eq!(said("2026-12-31T10:30:00Z", chrono_tz::Pacific::Kiritimati), "1. Jan. 00:30 +14");
        assert_eq!(said("2026-12-31T10:30:00Z", chrono_tz::Etc::GMTPlus12), "30. Dez. 22:30 -12");
        let exact = clock(at("2026-07-01T10:00:07Z"));
        assert_eq!(exact.text_in(Some(berlin), Locale::En), "12:00:07 CEST");
        assert_eq!(exact.text_in(None, Locale::En), "10:00:07 UTC");
    }

    #[test]
    fn numbers_are_written_as_each_language_writes_them() {
        assert_eq!(count(1_234_567, Locale::De), "1.234.567");
        assert_eq!(count(1_234, Locale::En), "1,234");
        assert_eq!(count(7, Locale::En), "7");
        assert_eq!(size(3_840_000, Locale::De), "3,8 MB");
        assert_eq!(size(48_000, Locale::En), "48 KB");
        assert_eq!(size(999, Locale::En), "999 B");
    }

    #[test]
    fn spans_grow_through_their_units() {
        let s = |seconds| span(Duration::from_secs(seconds), Locale::En);
        assert_eq!(
            [s(42), s(69), s(11_560), s(86_400), s(187_300)],
            ["42 s", "1:09 min", "3:12 h", "1 day 0 h", "2 days 4 h"]
        );
        assert_eq!(short_span(Duration::from_millis(600), Locale::De), "0,6 s");
        assert_eq!(short_span(Duration::from_millis(12_000), Locale::De), "12 s");
    }

    #[test]
    fn times_carry_their_zone() {
        let at = chrono::Utc.with_ymd_and_hms(2026, 11, 4, 3, 8, 5).unwrap();
        assert_eq!(clock(at).text, "03:08:05 UTC");
        assert_eq!(day(at, Locale::De).text, "4. Nov. 03:08 UTC");
        assert_eq!(day(at, Locale::En).text, "4 Nov 03:08 UTC");
        assert_eq!((date(at, Locale::De).as_str(), date(at, Locale::En).as_str()), ("4. Nov. 2026", "4 Nov 2026"));
        assert_eq!(day(at, Locale::En).iso, "2026-11-04T03:08:05Z");
    }

    #[test]
    fn characters_that_deceive_the_eye_become_visible() {
        assert_eq!(visible("a\u{202e}exe.gpj\0\r\n\u{200b}"), "a\u{fffd}exe.gpj\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(visible("Grüße <b>日本</b>"), "Grüße <b>日本</b>");
    }

    #[test]
    fn a_query_value_means_itself_and_nothing_else() {
        assert_eq!(query_value("a-b.c_d~9"), "a-b.c_d~9");
        assert_eq!(query_value("ö@x&y=\"+ #%"), "%C3%B6%40x%26y%3D%22%2B%20%23%25");
    }

    #[test]
    fn encoded_words_are_read_and_broken_ones_stay_as_they_are() {
        assert_eq!(subject("=?UTF-8?Q?Gr=C3=BC=C3=9Fe_aus?= =?utf-8?B?IEvDtmxu?="), "Grüße aus Köln");
        assert_eq!(subject("Re: =?iso-8859-1?q?M=FCller?= !"), "Re: Müller !");
        for raw in ["=?utf-8?Q?=G0?=", "=?utf-8?X?a?=", "=?", "=?koi8-r?B?8A==?=", "a =?utf-8?B?*?= b", "=?utf-8?Q?x"] {
            assert_eq!(subject(raw), raw);
        }
        assert_eq!(subject("=?utf-8?Q?a=E2=80=AEb=0D=0Ac?="), "a\u{fffd}b\u{fffd}\u{fffd}c");
    }
}
