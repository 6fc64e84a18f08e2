//! Leases: what is replicated of them, and the leader's clock for them.
//!
//! Replicated is that a lease exists, its TTL, and what was left of it at the
//! last checkpoint. *When* it expires only the leader knows, on its own monotonic
//! clock, and only as long as it leads: a new leader gives every lease its full
//! time again, or what the checkpoint says. So no lease dies early because its
//! leader did; how much longer it lives is bounded by the checkpoints.

use crate::error::Refusal;
use crate::rows::Rows;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use squall_api::{Bug, Bugs, Fatal};
use std::collections::{BTreeMap, BTreeSet};

const PREFIX: &[u8] = b"lease/";
const SECOND: u64 = 1_000_000_000;

/// The longest TTL that is granted, in seconds, as in etcd.
pub(crate) const MAX_TTL: i64 = 9_000_000_000;
/// At most this many leases expire at once, as in etcd, where a thousand do in a
/// second: the deletions must leave room for other entries.
const EXPIRE_AT_ONCE: usize = 500;
/// The pause after that many.
const EXPIRE_PAUSE: u64 = SECOND / 2;
/// When an expiry that was proposed, and not applied since, is proposed again.
const EXPIRE_RETRY: u64 = 3 * SECOND;
/// When taking back a checkpoint is proposed again, if it was not applied since.
const TAKE_BACK_RETRY: u64 = SECOND;
/// Leases in one checkpoint entry, as in etcd.
const CHECKPOINT_AT_ONCE: usize = 1000;

/// All leases.
#[derive(Debug, Default)]
pub(crate) struct Lessor {
    leases: BTreeMap<i64, Lease>,
    leading: Option<Leading>,
    /// How often the leader notes what is left of a lease, in nanoseconds.
    checkpoint_interval: u64,
    /// Whether it does at all: the cluster may be too old for it.
    checkpoints_allowed: bool,
    bugs: Bugs,
}

/// A lease as every member knows it, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The TTL it was granted.
    pub(crate) ttl: i64,
    /// What was left of it at the last checkpoint; 0 if there was none since
    /// it was last renewed.
    pub(crate) remaining: i64,
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// There is no such lease.
    Unknown,
    /// It lives for this many more seconds.
    Renewed(i64),
    /// Its expiry is under way: whether it lives will be known when that is
    /// applied, or when somebody else leads.
    Expiring,
    /// Followers know of a checkpoint, or will: it has to be taken back first,
    /// or the next leader would count from there. The caller proposes that, if
    /// `propose` says so, and tries again when it is applied.
    TakeBackCheckpoint { propose: bool },
}

/// What only a leader knows, in nanoseconds of its monotonic clock.
#[derive(Debug)]
struct Leading {
    term: u64,
    clocks: BTreeMap<i64, Clock>,
    /// When each lease is to be looked at: at its expiry, or when an expiry is
    /// to be tried again.
    due: BTreeSet<(u64, i64)>,
    checkpoints: BTreeSet<(u64, i64)>,
    /// No lease expires before.
    paused_until: u64,
}

#[derive(Debug, Clone, Copy)]
struct Clock {
    expiry: u64,
    due: u64,
    checkpoint: Option<u64>,
    /// Its expiry was proposed.
    expiring: bool,
    /// The proposal of a checkpoint that may be under way.
    unsettled: Option<u64>,
    /// Until when a checkpoint is being taken back.
    taking_back: u64,
}

impl Lessor {
    /// The leases in `rows`, on a member that does not lead.
    pub(crate) fn of(rows: &Rows, checkpoint_interval: u64, bugs: Bugs) -> Result<Lessor, Fatal> {
        let mut leases: BTreeMap<i64, Lease> = rows
            .under(PREFIX)
            .map(|(key, value)| {
                parse(key.clone(), value.clone())
                    .ok_or_else(|| Fatal::Corrupt(format!("row {key:02x?} is no lease")))
            })
            .collect::<Result<_, _>>()?;
        if bugs.has(Bug::LoseNegativeLeases) {
            leases.retain(|id, _| *id > 0);
        }
        Ok(Lessor {
            leases,
            leading: None,
            checkpoint_interval,
            checkpoints_allowed: true,
            bugs,
        })
    }

    /// The lease of that id.
    pub(crate) fn get(&self, id: i64) -> Option<Lease> {
        self.leases.get(&id).copied()
    }

    /// All ids, ascending.
    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.leases.keys().copied()
    }

    /// Whether a key may be put with this lease, 0 for none.
    pub(crate) fn check(&self, id: i64) -> Result<(), Refusal> {
        let exists = self.leases.contains_key(&id) || self.bugs.has(Bug::PutOnUnknownLease);
        match id == 0 || exists {
            true => Ok(()),
            false => Err(Refusal::LeaseNotFound),
        }
    }

    /// Applies a grant of `ttl` seconds.
    pub(crate) fn grant(
        &mut self,
        rows: &mut Rows,
        now: u64,
        id: i64,
        ttl: i64,
    ) -> Result<(), Refusal> {
        if id == 0 {
            return Err(Refusal::LeaseNotFound);
        }
        if ttl > MAX_TTL {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&id) && self.bugs.has(Bug::GrantAgain) {
            return Ok(());
        }
        if self.leases.contains_key(&id) && !self.bugs.has(Bug::RegrantLease) {
            return Err(Refusal::LeaseExists);
        }
        self.write(rows, id, Lease { ttl, remaining: 0 });
        self.start(now, id);
        Ok(())
    }

    /// Applies the end of a lease; its keys are the caller's to delete.
    pub(crate) fn revoke(&mut self, rows: &mut Rows, id: i64) -> Result<(), Refusal> {
        if self.leases.remove(&id).is_none() {
            return Err(Refusal::LeaseNotFound);
        }
        rows.remove(&row_key(id));
        if let Some(leading) = &mut self.leading {
            leading.forget(id);
        }
        Ok(())
    }

    /// Applies a checkpoint: `remaining` seconds are left, 0 for all.
    pub(crate) fn checkpoint(&mut self, rows: &mut Rows, proposal: u64, id: i64, remaining: i64) {
        let Some(lease) = self.get(id) else {
            return;
        };
        self.write(rows, id, Lease { remaining, ..lease });
        let Some(leading) = &mut self.leading else {
            return;
        };
        let clock = leading.clocks.get_mut(&id);
        let clock = clock.expect("a leader has a clock for every lease");
        clock.taking_back = 0;
        // What this member proposed before is applied by now, or lost: a lane's
        // proposals keep their order, and their ids count up.
        clock
            .unsettled
            .take_if(|last| proposal.wrapping_sub(*last) as i64 >= 0);
    }

    /// Allows checkpoints, or forbids them, as of an entry. Who knows no
    /// checkpoints must not meet any: those that were made are forgotten then.
    pub(crate) fn allow_checkpoints(&mut self, rows: &mut Rows, allowed: bool) {
        self.checkpoints_allowed = allowed;
        if allowed {
            return;
        }
        let noted = self.leases.iter().filter(|(_, lease)| lease.remaining > 0);
        for (id, lease) in noted.map(|(id, lease)| (*id, *lease)).collect::<Vec<_>>() {
            self.write(
                rows,
                id,
                Lease {
                    remaining: 0,
                    ..lease
                },
            );
        }
        if let Some(leading) = &mut self.leading {
            for clock in leading.clocks.values_mut() {
                // What is under way comes to nothing.
                clock.unsettled = None;
            }
        }
    }

    /// The member leads in `term`, and has applied all that earlier leaders
    /// committed: from now on it decides when leases expire.
    pub(crate) fn lead(&mut self, now: u64, term: u64) {
        self.leading = Some(Leading {
            term,
            clocks: BTreeMap::new(),
            due: BTreeSet::new(),
            checkpoints: BTreeSet::new(),
            paused_until: now,
        });
        let ids: Vec<i64> = self.ids().collect();
        for id in ids {
            self.start(now, id);
            if self.bugs.has(Bug::CountFromGrant)
                && let Some(leading) = &mut self.leading
            {
                let clock = leading.clocks[&id];
                leading.set(id, Clock { due: now, ..clock });
            }
            if self.bugs.has(Bug::UncountedLeases)
                && let Some(leading) = &mut self.leading
            {
                let due = u64::MAX;
                let clock = leading.clocks[&id];
                leading.set(id, Clock { due, ..clock });
            }
        }
    }

    /// The member leads no more.
    pub(crate) fn follow(&mut self) {
        self.leading = None;
    }

    /// The term in which the member decides about expiries, if it does.
    pub(crate) fn leads(&self) -> Option<u64> {
        self.leading.as_ref().map(|leading| leading.term)
    }

    /// Gives a lease its full time again. Only a leader may, who was confirmed
    /// since it was asked to.
    pub(crate) fn renew(&mut self, now: u64, id: i64) -> Renewal {
        let Some(lease) = self.get(id) else {
            return Renewal::Unknown;
        };
        let leading = self.leading.as_mut().expect("only the leader renews");
        let clock = leading.clocks[&id];
        if clock.expiring {
            return Renewal::Expiring;
        }
        if lease.remaining > 0 || clock.unsettled.is_some() {
            let propose = clock.taking_back <= now;
            let taking_back = match propose {
                true => now.saturating_add(TAKE_BACK_RETRY),
                false => clock.taking_back,
            };
            leading.set(
                id,
                Clock {
                    taking_back,
                    ..clock
                },
            );
            return Renewal::TakeBackCheckpoint { propose };
        }
        self.start(now, id);
        Renewal::Renewed(lease.ttl)
    }

    /// The whole seconds that a lease has left, on the leader.
    pub(crate) fn time_to_live(&self, now: u64, id: i64) -> Option<i64> {
        let clock = self.leading.as_ref()?.clocks.get(&id)?;
        Some((clock.expiry.saturating_sub(now) / SECOND) as i64)
    }

    /// Whether a planted bug lets leases expire at every member.
    pub(crate) fn expires_locally(&self) -> bool {
        self.bugs.has(Bug::ExpireLocally)
    }

    /// Whether a lease is due.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    /// Whether checkpoints are due.
    pub(crate) fn is_checkpoint_due(&self, now: u64) -> bool {
        self.next_checkpoint().is_some_and(|at| at <= now)
    }

    /// When the next lease, or checkpoint, is due.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let dues = [self.due_at(), self.next_checkpoint()];
        dues.into_iter().flatten().min()
    }

    fn next_checkpoint(&self) -> Option<u64> {
        let leading = self.leading.as_ref().filter(|_| self.checkpoints_allowed)?;
        leading.checkpoints.first().map(|(at, _)| *at)
    }

    /// Takes the leases whose expiry has to be proposed now.
    pub(crate) fn take_expired(&mut self, now: u64) -> Vec<i64> {
        let Some(leading) = &mut self.leading else {
            return Vec::new();
        };
        let mut expired = Vec::new();
        if now < leading.paused_until {
            return expired;
        }
        while expired.len() < EXPIRE_AT_ONCE
            && let Some((at, id)) = leading.due.first().copied()
            && at <= now
        {
            let clock = Clock {
                due: now.saturating_add(EXPIRE_RETRY),
                expiring: true,
                ..leading.clocks[&id]
            };
            leading.set(id, clock);
            expired.push(id);
        }
        if expired.len() == EXPIRE_AT_ONCE {
            leading.paused_until = now.saturating_add(EXPIRE_PAUSE);
        }
        expired
    }

    /// Takes the checkpoints to be proposed now, as `proposal`: leases and their
    /// seconds left, rounded up.
    pub(crate) fn take_checkpoints(&mut self, now: u64, proposal: u64) -> Vec<(i64, i64)> {
        let interval = self.checkpoint_interval;
        let Some(leading) = &mut self.leading else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        while taken.len() < CHECKPOINT_AT_ONCE
            && let Some((at, id)) = leading.checkpoints.first().copied()
            && at <= now
        {
            // Again in a while, also if this one is lost.
            leading.schedule_checkpoint(now, id, interval);
            let clock = leading.clocks.get_mut(&id);
            let clock = clock.expect("only leases with a clock are scheduled");
            let left = clock.expiry.saturating_sub(now);
            if left > 0 {
                clock.unsettled = Some(proposal);
                taken.push((id, left.div_ceil(SECOND) as i64));
            }
        }
        taken
    }

    fn write(&mut self, rows: &mut Rows, id: i64, lease: Lease) {
        let mut value = BytesMut::with_capacity(16);
        value.put_i64_le(lease.ttl);
        value.put_i64_le(lease.remaining);
        rows.set(row_key(id), value.freeze());
        self.leases.insert(id, lease);
    }

    /// Starts a lease's time, if the member leads.
    fn start(&mut self, now: u64, id: i64) {
        let Lease { ttl, remaining } = self.leases[&id];
        let seconds = match remaining > 0 && !self.bugs.has(Bug::FullTtlAgain) {
            true => remaining,
            false => ttl,
        };
        let interval = self.checkpoint_interval;
        if let Some(leading) = &mut self.leading {
            let nanos = u64::try_from(seconds).unwrap_or(0).saturating_mul(SECOND);
            let expiry = now.saturating_add(nanos);
            let old = leading.clocks.get(&id);
            let clock = Clock {
                expiry,
                due: expiry,
                checkpoint: old.and_then(|old| old.checkpoint),
                expiring: false,
                unsettled: old.and_then(|old| old.unsettled),
                taking_back: 0,
            };
            leading.set(id, clock);
            leading.schedule_checkpoint(now, id, interval);
        }
    }

    fn due_at(&self) -> Option<u64> {
        let leading = self.leading.as_ref()?;
        let (at, _) = leading.due.first()?;
        Some(leading.paused_until.max(*at))
    }
}

impl Leading {
    fn set(&mut self, id: i64, clock: Clock) {
        if let Some(old) = self.clocks.insert(id, clock) {
            self.due.remove(&(old.due, id));
        }
        self.due.insert((clock.due, id));
    }

    fn forget(&mut self, id: i64) {
        if let Some(clock) = self.clocks.remove(&id) {
            self.due.remove(&(clock.due, id));
            if let Some(at) = clock.checkpoint {
                self.checkpoints.remove(&(at, id));
            }
        }
    }

    /// The next checkpoint of a lease, if it lives longer than that.
    fn schedule_checkpoint(&mut self, now: u64, id: i64, interval: u64) {
        let Some(clock) = self.clocks.get_mut(&id) else {
            return;
        };
        if let Some(at) = clock.checkpoint.take() {
            self.checkpoints.remove(&(at, id));
        }
        let at = now.saturating_add(interval);
        if at < clock.expiry {
            clock.checkpoint = Some(at);
            self.checkpoints.insert((at, id));
        }
    }
}

/// Signed ids in their own order: the sign bit is turned round.
fn row_key(id: i64) -> Bytes {
    let mut key = BytesMut::with_capacity(PREFIX.len() + 8);
    key.put_slice(PREFIX);
    key.put_u64(id as u64 ^ 1 << 63);
    key.freeze()
}

fn parse(mut key: Bytes, mut value: Bytes) -> Option<(i64, Lease)> {
    let id = (key.try_get_u64().ok()? ^ 1 << 63) as i64;
    let lease = Lease {
        ttl: value.try_get_i64_le().ok()?,
        remaining: value.try_get_i64_le().ok()?,
    };
    (key.is_empty() && value.is_empty()).then_some((id, lease))
}
