//! The customers of the conversations.

use super::*;

/// Two customers; the first one's line is as the test says.
pub(super) struct Village {
    pub(super) directory: Arc<Directory>,
    pub(super) ids: SpoolIds,
    pub(super) state: Cell<Option<LineState>>,
    pub(super) held: HashMap<AccountId, u64>,
    pub(super) room: Cell<u64>,
    pub(super) flushed: Cell<u32>,
    pub(super) address: Cell<Option<IpAddr>>,
    pub(super) through: Cell<bool>,
    /// What a network was asked for and counted with.
    pub(super) deeds: RefCell<Vec<Deed>>,
    /// It has brought too much already.
    pub(super) is_spent: Cell<bool>,
    /// By which the first customer's server proves itself.
    pub(super) token: Cell<Option<&'static str>>,
}

pub(super) fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub(super) fn wall() -> WallTime {
    chrono::DateTime::from_timestamp(1_795_495_143, 0).unwrap()
}

impl Village {
    pub(super) fn new() -> Self {
        let account = |id: i64| Account {
            id: AccountId(id),
            name: format!("a{id}").parse().unwrap(),
            status: AccountStatus::Active,
            status_since: wall(),
            online_mode: None,
            created_at: wall(),
        };
        let domain =
            |id: i64, text| Domain { name: name(text), account: AccountId(id), endpoints: vec![EndpointId(id)] };
        let directory = Directory::new(
            vec![account(1), account(2)],
            vec![],
            vec![domain(1, "firma.example"), domain(2, "verein.example")],
            vec![],
        );
        Self {
            directory: Arc::new(directory),
            ids: SpoolIds::default(),
            state: Cell::new(Some(LineState::Offline)),
            held: HashMap::new(),
            room: Cell::new(u64::MAX),
            flushed: Cell::new(0),
            address: Cell::new(None),
            through: Cell::default(),
            deeds: RefCell::default(),
            is_spent: Cell::default(),
            token: Cell::default(),
        }
    }
}

impl World for Village {
    fn admits(&self, _: IpAddr, deed: Deed, _: Moment) -> bool {
        self.deeds.borrow_mut().push(deed);
        !self.is_spent.get()
    }
    fn would_admit(&self, _: IpAddr, _: Deed, _: Moment) -> bool {
        !self.is_spent.get()
    }
    fn takes_logins(&self) -> bool {
        self.token.get().is_some()
    }
    fn login(&self, secret: &str) -> Option<AccountId> {
        (self.token.get() == Some(secret)).then_some(AccountId(1))
    }
    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }
    fn room(&self) -> u64 {
        self.room.get()
    }
    fn judge_recipient(&self, _: &ServedDomain<'_>, local_part: &LocalPart, is_there: bool) -> Judgement {
        match local_part.as_str() {
            "nobody" if !is_there => Judgement::Reject,
            _ => Judgement::Accept,
        }
    }
    fn start_flush(&self, account: AccountId) -> FlushAnswer {
        self.flushed.set(self.flushed.get() + 1);
        if account == AccountId(1) && self.flushed.get() < 3 { FlushAnswer::Started } else { FlushAnswer::TooOften }
    }
    fn fair_share(&self) -> Option<u64> {
        None
    }
    fn may_ask(&self, account: AccountId, _: &DomainName) -> bool {
        self.through.get() && account == AccountId(1)
    }
    fn usage(&self, account: AccountId) -> Usage {
        let octets = self.held.get(&account).copied().unwrap_or_default();
        Usage { octets, waiting: octets / 1_000, ..Usage::default() }
    }
    fn line(&self, endpoint: EndpointId) -> Option<LineView> {
        Some(LineView {
            account: AccountId(endpoint.0),
            endpoint,
            state: self.state.get()?,
            since: Some(wall()),
            last_beat: None,
            last_beat_at: None,
            address: self.address.get(),
            interval: Duration::from_secs(5),
            missed: 0,
            mail_ok: None,
            loss_percent: 0.0,
            name_held_until: None,
            recent_beats: vec![],
        })
    }
    fn next_id(&self) -> SpoolId {
        self.ids.next(wall(), 7)
    }
    fn wall(&self) -> WallTime {
        wall()
    }
}
