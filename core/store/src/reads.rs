//! Linearizable reads (Raft dissertation, section 6.4): batches, one of them
//! being confirmed at a time.

use crate::leader_calls::{Ask, Asker};
use squall_api::{AuthRequest, ReqId, SessionId, pb};

/// What a read asks for.
#[derive(Debug)]
pub(crate) enum Query {
    Range(pb::RangeRequest),
    /// The same in parts, for a call of this connection.
    RangeStream(SessionId, pb::RangeRequest),
    Txn(pb::TxnRequest),
    /// Who the members are.
    Members,
    /// Users, roles, and whether they matter.
    Auth(AuthRequest),
    /// Whether a password is right.
    Login(Login),
    /// Whether the cluster may be downgraded to this version.
    Downgrade(String),
}

/// A user that logs in.
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login of {:?}", self.name)
    }
}

/// What waits for a confirmation that there was a leader, and who, since it
/// was asked.
#[derive(Debug)]
pub(crate) enum Read {
    /// A client's read.
    Client { req: ReqId, query: Query },
    /// What this member answers, or does, if it is itself the leader, and of
    /// `term`: a confirmation in that term then says that it still led when it
    /// had been asked.
    Leader { term: u64, asker: Asker, ask: Ask },
}

/// Reads on their way from "asked" to "may be served".
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Came while another batch was being confirmed. The index that will be
    /// confirmed for that one may be older than these reads, so they wait for
    /// the next.
    next: Vec<Read>,
    asked: Option<Asked>,
    /// May be served once the index is applied; ascending.
    confirmed: Vec<(u64, Vec<Read>)>,
}

#[derive(Debug)]
struct Asked {
    ctx: u64,
    /// When it is asked again if no answer came.
    retry_at: u64,
    reads: Vec<Read>,
}

impl Reads {
    pub(crate) fn add(&mut self, read: Read) {
        self.next.push(read);
    }

    /// Starts the next batch if it is time for one, and says whether: then
    /// `ctx` has to be asked for. Reads that nobody `wants` any more are
    /// dropped.
    pub(crate) fn ask(
        &mut self,
        now: u64,
        retry_after: u64,
        ctx: u64,
        wants: impl Fn(&Read) -> bool,
    ) -> bool {
        let mut reads = match self.asked.take() {
            Some(asked) if now < asked.retry_at => {
                self.asked = Some(asked);
                return false;
            }
            Some(asked) => asked.reads,
            None => Vec::new(),
        };
        reads.append(&mut self.next);
        reads.retain(wants);
        if reads.is_empty() {
            return false;
        }
        self.asked = Some(Asked {
            ctx,
            retry_at: now.saturating_add(retry_after),
            reads,
        });
        true
    }

    /// The batch known as `ctx` may be served at `index`. An answer to an
    /// earlier question is void: later reads have joined the batch since.
    pub(crate) fn confirm(&mut self, ctx: u64, index: u64) {
        if let Some(asked) = self.asked.take_if(|asked| asked.ctx == ctx) {
            // An index never goes back between answers that are in order; if
            // it does, waiting for the higher one is right for both.
            let index = self.confirmed.last().map_or(index, |(i, _)| index.max(*i));
            self.confirmed.push((index, asked.reads));
        }
    }

    /// The batch known as `ctx` was refused: its reads.
    pub(crate) fn refuse(&mut self, ctx: u64) -> Vec<Read> {
        self.asked
            .take_if(|asked| asked.ctx == ctx)
            .map(|asked| asked.reads)
            .unwrap_or_default()
    }

    /// Takes out what may be served once `applied` is applied.
    pub(crate) fn servable(&mut self, applied: u64) -> Vec<Read> {
        let count = self
            .confirmed
            .partition_point(|(index, _)| *index <= applied);
        self.confirmed
            .drain(..count)
            .flat_map(|(_, reads)| reads)
            .collect()
    }

    /// When [`Reads::ask`] wants to be called again.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.asked.as_ref().map(|asked| asked.retry_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(req: u64) -> Read {
        Read::Client {
            req: ReqId(req),
            query: Query::Range(pb::RangeRequest::default()),
        }
    }

    fn served(reads: &mut Reads, applied: u64) -> Vec<u64> {
        let req = |read: &Read| match read {
            Read::Client { req, .. } => req.0,
            Read::Leader { .. } => panic!("{read:?}"),
        };
        reads.servable(applied).iter().map(req).collect()
    }

    #[test]
    fn reads_that_come_while_one_is_asked_wait_for_the_next() {
        let mut reads = Reads::default();
        reads.add(read(1));
        assert!(reads.ask(0, 100, 7, |_| true));
        reads.add(read(2));
        assert!(!reads.ask(1, 100, 8, |_| true));
        reads.confirm(7, 5);
        assert!(reads.ask(2, 100, 8, |_| true));
        assert_eq!(served(&mut reads, 4), [0; 0]);
        assert_eq!(served(&mut reads, 5), [1]);
        reads.confirm(8, 6);
        assert_eq!(served(&mut reads, 6), [2]);
        assert_eq!(reads.deadline(), None);
    }

    #[test]
    fn an_unanswered_batch_is_asked_again_and_the_old_answer_is_void() {
        let mut reads = Reads::default();
        reads.add(read(1));
        assert!(reads.ask(0, 100, 7, |_| true));
        reads.add(read(2));
        assert_eq!(reads.deadline(), Some(100));
        assert!(reads.ask(100, 100, 8, |_| true));
        // Read 2 came after ctx 7 was asked: index 5 may be too old for it.
        reads.confirm(7, 5);
        assert_eq!(served(&mut reads, 5), [0; 0]);
        reads.confirm(8, 6);
        assert_eq!(served(&mut reads, 6), [1, 2]);
    }

    #[test]
    fn refused_and_unwanted_reads_leave() {
        let mut reads = Reads::default();
        reads.add(read(1));
        assert!(reads.ask(0, 100, 7, |_| true));
        assert_eq!(reads.refuse(6).len(), 0);
        assert_eq!(reads.refuse(7).len(), 1);
        reads.add(read(2));
        assert!(!reads.ask(0, 100, 8, |_| false));
        assert_eq!(reads.deadline(), None);
    }
}
