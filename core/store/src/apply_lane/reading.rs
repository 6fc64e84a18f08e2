//! Reads: when they may be served, and what they show.

use super::{ApplyLane, reply};
use crate::leader_calls::Asker;
use crate::range::range;
use crate::reads::{Query, Read};
use crate::txn;
use squall_api::pb::MemberListResponse;
use squall_api::{
    Bug, ClusterResponse, Effect, Effects, Fatal, LaneMsg, Now, ReqId, Response, SessionId, Status,
};

impl ApplyLane {
    pub(super) fn read(
        &mut self,
        now: Now,
        req: ReqId,
        session: SessionId,
        query: Query,
        serializable: bool,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        if serializable {
            self.serve(now, req, query, fx)?;
        } else {
            self.wait(now, req, session, None);
            self.reads.add(Read::Client { req, query });
        }
        Ok(())
    }

    /// Answers a read that may be served.
    fn serve(&mut self, now: Now, req: ReqId, query: Query, fx: &mut Effects) -> Result<(), Fatal> {
        if let Query::RangeStream(session, range) = query {
            return self.begin_range_stream(now, req, session, range, fx);
        }
        let result = self.query(now, req, query)?;
        reply(req, result, fx);
        Ok(())
    }

    fn query(&self, now: Now, req: ReqId, query: Query) -> Result<Result<Response, Status>, Fatal> {
        if let Err(refusal) = self.permit_query(now, req, &query) {
            return self.finish(Err(refusal.into()));
        }
        let as_of_commit = self.bugs.has(Bug::TermOfLastCommit)
            && matches!(&query, Query::Range(req) if req.serializable);
        let mut result = self.finish(match query {
            Query::Range(mut req) => {
                let as_committed = req.serializable && self.bugs.has(Bug::ReadLastCommit);
                if as_committed {
                    req.revision = self.committed_revision;
                }
                let answer = range(&self.store, &req).map(Response::Range);
                answer.map(|mut answer| {
                    if let (true, Some(header)) = (as_committed, answer.header_mut()) {
                        header.revision = self.committed_revision;
                    }
                    answer
                })
            }
            Query::Txn(req) => {
                txn::read_only_txn(&self.store, &self.leasing.lessor, req).map(Response::Txn)
            }
            Query::Members => Ok(Response::Cluster(ClusterResponse::MemberList(
                MemberListResponse {
                    header: Some(self.header()),
                    members: self.meta.membership.list(),
                },
            ))),
            Query::Auth(req) => self.query_auth(&req),
            Query::Downgrade(target) => self.validate_downgrade(&target),
            Query::Login(_) | Query::RangeStream(..) => {
                unreachable!("{query:?} has no single answer from what is there")
            }
        })?;
        if let (true, Ok(answer)) = (as_of_commit, &mut result)
            && let Some(header) = answer.header_mut()
        {
            header.raft_term = self.committed_term;
        }
        Ok(result)
    }

    pub(super) fn serve_reads(&mut self, now: Now, fx: &mut Effects) -> Result<(), Fatal> {
        let applied = match self.bugs.has(Bug::ReadBeforeApplied) {
            true => u64::MAX,
            false => self.meta.index,
        };
        for read in self.reads.servable(applied) {
            match read {
                Read::Client {
                    req,
                    query: Query::Login(login),
                } => {
                    if self.waiting.has(req) {
                        self.log_in(req, login, fx);
                    }
                }
                Read::Client { req, query } if self.waiting.take(req) => {
                    self.serve(now, req, query, fx)?;
                }
                Read::Client { .. } => {}
                Read::Leader { term, asker, ask } => {
                    // What it was elected with may be applied just now.
                    self.tend_leases(now, fx);
                    self.serve_as_leader(now, term, asker, ask, fx)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn ask(&mut self, now: Now, fx: &mut Effects) {
        let ctx = self.next_id.max(1);
        let waiting = &self.waiting;
        let retry_after = self.cfg.election_timeout;
        let term = self.term;
        let wants = |read: &Read| match *read {
            Read::Client { req, .. } => waiting.has(req),
            Read::Leader {
                term: asked_in,
                asker,
                ..
            } => {
                asked_in == term
                    && match asker {
                        Asker::Peer { until, .. } => now.mono < until,
                        Asker::Call(_) | Asker::Lessor => true,
                    }
            }
        };
        if self.reads.ask(now.mono, retry_after, ctx, wants) {
            self.draw_id();
            fx.push(Effect::Lane(LaneMsg::ReadIndex { ctx }));
        }
    }
}
