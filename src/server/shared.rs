//! What most rooms are handed, and what port 25, the pages and the desk are made of.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::keeper::Keeper;
use super::names::NameServer;
use super::room_settings::{liveness_settings, public_addresses};
use crate::account::{ApiTokens, DirectoryHandle, SealKey};
use crate::alert;
use crate::base::{AccountId, Clock, SpoolIds};
use crate::certificate::CertificateHandle;
use crate::config::Config;
use crate::control::desk::Running;
use crate::control::{Desk, DirectoryKeeper, Reloads};
use crate::delivery::Flushes;
use crate::delivery::through::Passages;
use crate::drill::Drills;
use crate::liveness::Lines;
use crate::recipient::{RecipientStore, Recipients};
use crate::smtp::refusals::driver::RefusalLedger;
use crate::smtp::{SmtpRooms, SmtpServer, StoredListener};
use crate::spool::SpoolStore;
use crate::store::sqlite::SqliteStore;
use crate::update::Updates;
use crate::verdict::Checker;
use crate::web::driver::WebRooms;
use crate::web::readiness::Readiness;
use crate::web::{BeatRooms, JoinRooms, NameRooms};

/// What most rooms are handed.
pub(super) struct Shared {
    pub(super) store: Arc<SqliteStore>,
    pub(super) spool: Arc<dyn SpoolStore>,
    pub(super) lines: Arc<dyn Lines>,
    pub(super) flushes: Arc<dyn Flushes>,
    pub(super) directory: DirectoryHandle,
    pub(super) pages: broadcast::Sender<AccountId>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) updates: Arc<Updates>,
    pub(super) dns: NameServer,
    pub(super) recipients: Arc<Recipients>,
    pub(super) alerts: Arc<alert::Alerts>,
    pub(super) tokens: Arc<ApiTokens>,
}

impl Shared {
    pub(super) fn smtp_rooms(
        &self,
        stored: Arc<dyn StoredListener>,
        certificate: &CertificateHandle,
        checks: Option<Arc<Checker>>,
        primaries: Passages,
    ) -> SmtpRooms {
        SmtpRooms {
            checks,
            primaries: Some(Arc::new(primaries)),
            directory: self.directory.clone(),
            recipients: self.recipients.book(),
            lines: Arc::clone(&self.lines),
            spool: Arc::clone(&self.spool),
            stored,
            certificate: Some(certificate.clone()),
            ids: Arc::new(SpoolIds::default()),
            refusals: Some(RefusalLedger::start(Arc::clone(&self.store) as _)),
            tokens: Some(Arc::clone(&self.tokens)),
        }
    }

    pub(super) fn web_rooms(&self, beats: BeatRooms, drills: &Arc<Drills>, keeper: &Arc<Keeper>) -> WebRooms {
        let (codes, url, udp) = (Arc::clone(&beats.joins), beats.https.clone(), beats.udp.clone());
        let joins = JoinRooms { codes, url, udp };
        WebRooms {
            directory: self.directory.clone(),
            accounts: Arc::clone(&self.store) as _,
            people: Arc::clone(&self.store) as _,
            passkeys: Arc::clone(&self.store) as _,
            keeper: Some(Arc::clone(keeper) as _),
            lines: Arc::clone(&self.lines),
            log: Arc::clone(&self.store) as _,
            spool: Arc::clone(&self.spool),
            flushes: Arc::clone(&self.flushes),
            stored: self.pages.clone(),
            readiness: Arc::clone(&self.readiness),
            beats: Some(beats),
            updates: Some(Arc::clone(&self.updates)),
            recipients: Some(Arc::clone(&self.recipients)),
            drills: Some(Arc::clone(drills)),
            challenges: self.dns.challenges.clone(),
            names: Some(NameRooms { store: Arc::clone(&self.store) as _, dns: self.dns.dns.clone() }),
            alerts: Some(Arc::clone(&self.alerts)),
            tokens: Some(Arc::clone(&self.tokens)),
            api: None,
            surveys: None,
            badge_key: None,
            verdicts: Some(Arc::clone(&self.store) as _),
            joins: Some(joins),
        }
    }

    pub(super) fn desk(
        &self,
        config: &Config,
        keeper: Arc<dyn DirectoryKeeper>,
        seal: SealKey,
        (beats, drills): (&BeatRooms, &Arc<Drills>),
        smtp: &SmtpServer,
        reloads: Option<Arc<dyn Reloads>>,
    ) -> Arc<Desk> {
        Arc::new(Desk {
            accounts: Arc::clone(&self.store) as _,
            spool: Arc::clone(&self.spool),
            post: Arc::clone(&self.store) as _,
            verdicts: Arc::clone(&self.store) as _,
            refusals: Arc::clone(&self.store) as _,
            log: Arc::clone(&self.store) as _,
            updates: Arc::clone(&self.store) as _,
            api_tokens: Arc::clone(&self.store) as _,
            names: Arc::clone(&self.store) as _,
            zone_turn: tokio::sync::Mutex::default(),
            recipients: Arc::clone(&self.store) as Arc<dyn RecipientStore>,
            alerts: Arc::clone(&self.store) as _,
            directory: self.directory.clone(),
            hostname: config.hostname.clone(),
            public_addresses: public_addresses(config),
            running: Some(Running {
                people: Arc::clone(&self.store) as _,
                lines: Arc::clone(&self.lines),
                dns: self.dns.dns.clone(),
                challenges: self.dns.challenges.clone(),
                keys: self.dns.keys.clone(),
                issuer: self.dns.issuer.clone(),
                flushes: Arc::clone(&self.flushes),
                updates: Arc::clone(&self.updates),
                recipients: Arc::clone(&self.recipients),
                alerts: Arc::clone(&self.alerts),
                tokens: Arc::clone(&self.tokens),
                drills: Arc::clone(drills),
                liveness: liveness_settings(config),
                keeper,
                reloads,
                smtp: smtp.counters(),
                seal,
                joins: Arc::clone(&beats.joins),
                public_url: beats.https.clone(),
                started_at: Clock.wall(),
            }),
        })
    }
}
