//! A client in this world: connections to members, and honest outcomes.

use super::inner::Waiting;
use super::queue::Due;
use super::shared::Shared;
use squall_api::Metadata;
use squall_record::{Call, Kind, Op, Outcome, Target, Why};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// A client. It records every attempt in the run's history: invoked before the
/// call is sent, returned after the answer came.
pub struct SimClient {
    pub(super) shared: Arc<Shared>,
    pub(super) client: u32,
    /// The process it acts as; a new one after each unknown outcome.
    process: u32,
    /// How many clients the run has: processes are numbered in steps of it.
    clients: u32,
    meta: Metadata,
}

impl SimClient {
    pub(crate) fn new(shared: Arc<Shared>, client: u32, clients: u32) -> SimClient {
        SimClient {
            shared,
            client,
            process: client,
            clients,
            meta: Metadata::default(),
        }
    }

    /// From now on its calls come with this token, as `Authenticate` gave it.
    pub fn set_token(&mut self, token: String) {
        self.meta.token = token;
    }

    fn send(&self, member: u64, call: Call, limit: Duration) -> u64 {
        let mut inner = self.shared.lock();
        assert!(
            inner.has_node(member),
            "there is no member n{member} to call"
        );
        let now = inner.now;
        let op = inner.recorder.history.len() as u64;
        let what = call.name();
        let client = self.client;
        inner.recorder.history.push(Op {
            id: op,
            client,
            process: self.process,
            member,
            invoke: now,
            ret: None,
            token: self.meta.token.clone(),
            call: call.clone(),
            outcome: Outcome::Unknown(Why::RunEnded),
        });
        let invoked = inner.recorder.detail(now, None, None, || Kind::Invoked {
            op,
            client,
            what: what.into(),
        });
        let conn = inner.conns.connect(client, member);
        inner.conns.sent(conn, op);
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let until = now.saturating_add(limit);
        inner.waiting.push(Waiting {
            task: None,
            done: false,
            invoked,
            until,
            conn,
            meta: self.meta.clone(),
        });
        let at = inner.reaches_member(conn);
        inner.queue.push(
            at,
            Due::Call {
                op,
                conn,
                req: Box::new(call),
            },
        );
        let why = Why::Timeout;
        inner.queue.push(until, Due::GiveUp { op, why });
        op
    }
}

impl Target for SimClient {
    async fn call(&mut self, member: u64, call: Call, limit: Duration) -> Outcome {
        let op = self.send(member, call, limit);
        let outcome = poll_fn(|_| {
            let mut inner = self.shared.lock();
            if inner.waiting[op as usize].done {
                Poll::Ready(inner.recorder.history[op as usize].outcome.clone())
            } else {
                inner.waiting[op as usize].task = Some(inner.current_task);
                Poll::Pending
            }
        })
        .await;
        if matches!(outcome, Outcome::Unknown(_)) {
            self.process += self.clients;
        }
        outcome
    }
}
