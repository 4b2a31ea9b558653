//! What the pages may be told by the configuration, and the one hook that the demo hangs its buttons on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Open event streams of one account, at most: every colleague with a few tabs.
pub const STREAMS_PER_ACCOUNT_MAX: usize = 200;
/// Open event streams in all. Each costs one socket and a few kilobytes.
pub const STREAMS_MAX: usize = 10_000;
/// Connections in all, at most, unless the process may have too few open files: the event streams and half as many again
/// for everything else.
pub const CONNECTIONS_MAX: usize = 16_000;
/// Octets of a posted form, at most. Ours have two short fields.
pub const FORM_OCTETS_MAX: usize = 16 * 1024;
/// Messages on one page of the spool.
pub const SPOOL_ROWS: u32 = 50;
/// Rows of history that the status page looks at.
pub const HISTORY_ROWS: u32 = 60;
/// Time for the head of a request: longer than a slow phone needs, short enough that idle sockets go away.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Time that open requests get when the service stops. Event streams end at once.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of the room.
#[derive(Clone)]
pub struct Settings {
    /// Our own host name, for the foot of the page.
    pub hostname: String,
    /// Scheme and host by which browsers reach the pages, where a proxy with TLS stands in front of a loopback listener.
    pub public_origin: Option<String>,
    /// How long a browser stays signed in.
    pub session_lifetime: Duration,
    /// Connections at a time, over all listeners.
    pub connections_max: usize,
    /// Buttons of the demo; absent in real life.
    pub demo_controls: Option<Arc<dyn DemoControls>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            public_origin: None,
            session_lifetime: Duration::from_secs(30 * 86_400),
            connections_max: CONNECTIONS_MAX,
            demo_controls: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("hostname", &self.hostname)
            .field("session_lifetime", &self.session_lifetime)
            .field("demo", &self.demo_controls.is_some())
            .finish()
    }
}

/// One button of the demo card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DemoButton {
    /// Names the button in its form; lower case letters and hyphens.
    pub id: String,
    /// What the button says.
    pub label: String,
}

/// A card with buttons and a story under the status, for the demo. Calls return at once.
pub trait DemoControls: Send + Sync {
    /// The buttons, in order.
    fn buttons(&self) -> Vec<DemoButton>;
    /// Somebody pressed a button; an unknown id does nothing.
    fn press(&self, id: &str);
    /// What has happened so far, oldest first.
    fn story(&self) -> Vec<String>;
}
