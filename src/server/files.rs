//! Open files: as many as the system lets us have, divided once among all that open them, so that together they never
//! promise more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::{dns, web};

/// Files of what is few: the store, listeners, heartbeats, resolvers, alerts, mail of our own, control, 200 probes.
const OTHER_FILES: u64 = 512;

/// Files that are divided even where the system allows nearly none: then some of them fail.
const DIVIDED_MIN: u64 = 64;

/// Who may have how many connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Budget {
    sessions: u64,
    pages: u64,
    names: u64,
    /// With so many nobody would have to do with less.
    wanted: u64,
}

impl Budget {
    /// Of `limit` files, for as many sessions of port 25 as are wished for and `deliveries`. The shares of pages and names
    /// do not depend on what a reload may change.
    fn of(limit: u64, sessions: u64, deliveries: u64) -> Self {
        let (pages, names) = (web::settings::CONNECTIONS_MAX as u64, dns::tcp::driver::CONNECTIONS_MAX as u64);
        let fixed = OTHER_FILES.saturating_add(deliveries);
        let room = limit.saturating_sub(fixed).max(DIVIDED_MIN);
        let wanted = fixed.saturating_add(sessions.saturating_add(pages + names).max(pages * 4).max(names * 8));
        let (pages, names) = (pages.min(room / 4), names.min(room / 8));
        Self { sessions: sessions.min(room - pages - names), pages, names, wanted }
    }
}

/// Raises the soft limit of open files to the hard one, and divides what there is. Where that is too little, says what
/// everybody gets and how many it takes. Without files no newcomer could be greeted, whoever is silent.
pub(super) fn fit(config: &mut Config) {
    let before = getrlimit(Resource::Nofile);
    // Not allowed to raise it: then the soft limit is what there is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    fit_into(config, getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));
}

fn fit_into(config: &mut Config, limit: u64) {
    let deliveries = u64::try_from(config.delivery_connections).unwrap_or(u64::MAX);
    let wished = Budget::of(u64::MAX, config.smtp_sessions_max.into(), deliveries);
    let budget = Budget::of(limit, config.smtp_sessions_max.into(), deliveries);
    if (budget.sessions, budget.pages, budget.names) != (wished.sessions, wished.pages, wished.names) {
        config.warnings.push(format!(
            "this process may have {limit} open files, which is too few: port 25 gets {} sessions and not {}, the pages {} \
             connections and not {}, the name server {} over TCP and not {}; raise LimitNOFILE or `ulimit -n` to {}",
            budget.sessions, wished.sessions, budget.pages, wished.pages, budget.names, wished.names, budget.wanted
        ));
    }
    let number = |files: u64| u32::try_from(files).unwrap_or(u32::MAX);
    config.smtp_sessions_max = number(budget.sessions);
    config.web_connections_max = number(budget.pages);
    config.dns_connections_max = number(budget.names);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Written;
    use crate::config::checked::Surroundings;

    fn config() -> Config {
        let written = Written::parse("hostname = \"mx2.example\"", Path::new("pulsemx.toml")).unwrap();
        Config::check(&written, &Surroundings::default()).unwrap()
    }

    #[test]
    fn shares_never_add_up_to_more_than_there_is() {
        for limit in [0, 1, 600, 1_024, 4_096, 20_000, 65_536, 1_048_576, u64::MAX] {
            for (sessions, deliveries) in [(12_000, 200), (1, 1), (1_000_000, 10_000), (50, 200)] {
                let budget = Budget::of(limit, sessions, deliveries);
                let promised = budget.sessions + budget.pages + budget.names;
                let room = limit.saturating_sub(OTHER_FILES + deliveries).max(DIVIDED_MIN);
                assert!(promised <= room, "{limit} {budget:?}");
                assert!(budget.sessions > 0 && budget.pages > 0 && budget.names > 0, "{limit} {budget:?}");
                let enough = Budget::of(budget.wanted, sessions, deliveries);
                assert_eq!(enough, Budget::of(u64::MAX, sessions, deliveries), "as many as are asked for are enough");
            }
        }
    }

    #[test]
    fn what_the_unit_allows_is_enough_and_too_little_is_said_in_one_sentence() {
        let mut ample = config();
        let warnings = ample.warnings.len();
        fit_into(&mut ample, 65_536);
        assert_eq!(
            (ample.smtp_sessions_max, ample.web_connections_max, ample.dns_connections_max),
            (12_000, 16_000, 1_000)
        );
        assert_eq!(ample.warnings.len(), warnings);
        let mut scarce = config();
        fit_into(&mut scarce, 4_096);
        let said = scarce.warnings.last().unwrap();
        assert!(said.contains("may have 4096 open files") && said.contains("raise LimitNOFILE"), "{said}");
        let sum = scarce.smtp_sessions_max + scarce.web_connections_max + scarce.dns_connections_max;
        assert!(sum <= 4_096 - 512 - 200 && scarce.smtp_sessions_max > scarce.web_connections_max, "{sum}");
    }
}
