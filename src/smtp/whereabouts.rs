//! How the lines to a domain's servers stand, in the words that a sender is told.

use super::reply::Whereabouts;
use super::session::World;
use crate::account::Directory;
use crate::base::DomainName;
use crate::liveness::{LineState, LineView};

/// The best of the lines that lead to a domain.
pub(super) fn whereabouts(domain: &DomainName, world: &dyn World) -> Whereabouts {
    let directory = world.directory();
    let endpoints = directory.served(domain).map(|served| served.endpoints).unwrap_or_default();
    let rank = |line: &LineView| match line.state {
        LineState::Online => 0,
        LineState::Returning => 1,
        LineState::Suspect => 2,
        LineState::Offline => 3,
        LineState::New => 4,
    };
    let best = endpoints.iter().filter_map(|endpoint| world.line(*endpoint)).min_by_key(rank);
    match best {
        None => Whereabouts::NeverSeen,
        Some(line) => match line.state {
            LineState::Online | LineState::Returning => Whereabouts::There,
            LineState::Suspect => Whereabouts::Doubtful,
            LineState::Offline if is_on_holiday(domain, &directory, world) => Whereabouts::Away,
            LineState::Offline => Whereabouts::Missing { since: line.since },
            LineState::New => Whereabouts::NeverSeen,
        },
    }
}

fn is_on_holiday(domain: &DomainName, directory: &Directory, world: &dyn World) -> bool {
    let account = directory.served(domain).map(|served| served.account.id);
    account.is_some_and(|account| directory.holiday_left(account, world.wall()).is_some())
}
