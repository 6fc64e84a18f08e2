//! `KV.RangeStream`: a range in parts, all of them of one revision, read as the
//! client takes them. What a member holds of it at a time is a few parts, however
//! long the range is.

use super::{ApplyLane, reply};
use crate::error::{Failed, Refusal};
use crate::range::{Part, part};
use squall_api::pb::{RangeRequest, RangeResponse, ResponseHeader};
use squall_api::{Effects, Fatal, Now, ReqId, Response, SessionId};
use std::collections::BTreeMap;

/// How many parts may be under way to a client.
const WINDOW: u32 = 2;

/// The ranges that are being read in parts.
#[derive(Debug, Default)]
pub(super) struct RangeStreams(BTreeMap<ReqId, RangeStream>);

#[derive(Debug)]
struct RangeStream {
    session: SessionId,
    /// What is left of it; its revision is pinned.
    rest: RangeRequest,
    /// The store's revision when it began.
    begun_at: i64,
    /// How many keys came before the rest.
    count: i64,
    /// How many parts the client's connection has not taken.
    untaken: u32,
}

impl RangeStreams {
    pub(super) fn has(&self, id: ReqId) -> bool {
        self.0.contains_key(&id)
    }

    /// The client wants no more of it.
    pub(super) fn end(&mut self, id: ReqId) {
        self.0.remove(&id);
    }

    pub(super) fn close(&mut self, session: SessionId) {
        self.0.retain(|_, stream| stream.session != session);
    }

    /// Takes out one after the other, to be told that the member stops.
    pub(super) fn take_any(&mut self) -> Option<ReqId> {
        self.0.pop_first().map(|(id, _)| id)
    }
}

impl ApplyLane {
    /// Begins a range that may be read now, and sends its first parts.
    pub(super) fn begin_range_stream(
        &mut self,
        now: Now,
        id: ReqId,
        session: SessionId,
        mut range: RangeRequest,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        range.revision = match self.store.resolve_revision(range.revision) {
            Ok(at) => at,
            Err(refusal) => {
                reply(id, Err(refusal.status()), fx);
                return Ok(());
            }
        };
        let stream = RangeStream {
            session,
            rest: range,
            begun_at: self.meta.revision,
            count: 0,
            untaken: 0,
        };
        self.range_streams.0.insert(id, stream);
        self.send_parts(now, id, fx)
    }

    /// The client's connection took parts of a range.
    pub(super) fn range_parts_taken(
        &mut self,
        now: Now,
        id: ReqId,
        answers: u32,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let Some(stream) = self.range_streams.0.get_mut(&id) else {
            return Ok(());
        };
        stream.untaken = stream.untaken.saturating_sub(answers);
        self.send_parts(now, id, fx)
    }

    /// Sends as many parts as may be under way.
    fn send_parts(&mut self, now: Now, id: ReqId, fx: &mut Effects) -> Result<(), Fatal> {
        while let Some(stream) = self.range_streams.0.get(&id)
            && stream.untaken < WINDOW
        {
            let (response, is_last) = match self.next_part(now, id) {
                Ok(next) => next,
                Err(Failed::Refused(refusal)) => {
                    self.range_streams.end(id);
                    reply(id, Err(refusal.status()), fx);
                    return Ok(());
                }
                Err(Failed::Fatal(fatal)) => return Err(fatal),
            };
            if is_last {
                self.range_streams.end(id);
            }
            let result = self.finish(Ok(Response::RangeStream(response)))?;
            fx.reply(id, result, is_last);
        }
        Ok(())
    }

    /// The next part of a range, and whether it is the last. The permission is
    /// asked for each: it may have been revoked meanwhile, as the revision may have
    /// been compacted.
    fn next_part(&mut self, now: Now, id: ReqId) -> Result<(RangeResponse, bool), Failed> {
        let caller = self.caller(now, id)?;
        let Some(stream) = self.range_streams.0.get_mut(&id) else {
            return Err(Refusal::Stopped.into());
        };
        let rest = &mut stream.rest;
        self.auth
            .may_read(caller.as_ref(), &rest.key, &rest.range_end)?;
        let Part { mut response, next } = part(&self.store, rest, self.cfg.max_request_bytes)?;
        let Some(next) = next else {
            response.count += stream.count;
            response.header = Some(ResponseHeader {
                revision: stream.begun_at,
                ..ResponseHeader::default()
            });
            return Ok((response, true));
        };
        stream.count += std::mem::take(&mut response.count);
        stream.untaken += 1;
        if rest.limit > 0 {
            rest.limit -= response.kvs.len() as i64;
        }
        rest.key = next;
        Ok((response, false))
    }
}
