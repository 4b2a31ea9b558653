//! Open files: as many as the system lets us have, and no more sessions than that.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Files beside those of SMTP sessions and deliveries: pages, updates, heartbeats, the store.
const OTHER_FILES: u64 = 512;

/// Raises the soft limit of open files to the hard one, and where sessions of port 25 would not fit in, lowers their
/// number and says so. Without files no newcomer could be greeted, whoever is silent.
pub(super) fn fit_sessions(config: &mut Config) {
    let before = getrlimit(Resource::Nofile);
    // Not allowed to raise it: then the soft limit is what there is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let taken = OTHER_FILES.saturating_add(u64::try_from(config.delivery_connections).unwrap_or(u64::MAX));
    let room = u32::try_from(limit.saturating_sub(taken)).unwrap_or(u32::MAX).max(1);
    if config.smtp_sessions_max > room {
        config.warnings.push(format!(
            "smtp.max_sessions: {room} and not {}, since this process may have {limit} open files; raise LimitNOFILE or `ulimit -n`",
            config.smtp_sessions_max
        ));
        config.smtp_sessions_max = room;
    }
}
