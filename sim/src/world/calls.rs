//! Calls of clients, from the connection that they are sent on to the outcome.

use super::conns::Conn;
use super::inner::Inner;
use super::process::Lane;
use super::queue::Due;
use super::streams::number_of_stream;
use squall_api::{Code, Input, ReqId, Request, Response, SessionId, Status};
use squall_record::{Outcome, PartKind, Why};

pub(crate) fn connection_refused() -> Status {
    Status::new(Code::Unavailable, "connection refused")
}

impl Inner {
    /// Whether this would arrive on a connection that is cut: then it waits until
    /// it no longer is.
    pub(crate) fn is_kept_from_client(&mut self, due: &Due) -> bool {
        let (call, to_member) = match due {
            Due::Call { op, .. } => (*op, true),
            Due::Message { stream, .. } | Due::Taken { stream } | Due::Cancel { call: stream } => {
                (*stream, true)
            }
            Due::Answer { op, .. } | Due::Broken { op, .. } => (*op, false),
            Due::StreamAnswer { stream, .. } => (*stream, false),
            _ => return false,
        };
        let member = match number_of_stream(call) {
            Some(stream) => self.recorder.streams[stream].member,
            None => self.recorder.history[call as usize].member,
        };
        self.net.keeps_client(member, to_member)
    }

    /// When something that leaves now on a connection reaches the client.
    pub(crate) fn reaches_client(&mut self, conn: u64) -> u64 {
        let (client, number, node) = self.conn(conn);
        self.net.to_client(self.now, client, number, node)
    }

    /// When something that leaves now on a connection reaches the member.
    pub(crate) fn reaches_member(&mut self, conn: u64) -> u64 {
        let (client, number, node) = self.conn(conn);
        self.net.to_member(self.now, client, number, node)
    }

    pub(crate) fn conn(&self, conn: u64) -> (u32, u64, u64) {
        let conn = self.conns.get(conn).expect("a connection in use is kept");
        (conn.client, conn.number, conn.node)
    }

    pub(crate) fn call_arrives(&mut self, op: u64, conn: u64, req: Box<Request>) {
        let state = self.conns.get(conn).expect("a call is under way on it");
        let (node, open) = (state.node, state.open);
        self.hash_call(op, &req);
        self.conns.arrived(conn, op);
        if !open || !self.node(node).up {
            // Nobody listens, or not who did when the call was sent. Refused is
            // certain: no process ever saw the call.
            let at = self.reaches_client(conn);
            let refused = open;
            self.close(conn);
            self.queue.push(at, Due::Broken { op, refused });
            return;
        }
        self.conns.taken_in(conn, op);
        let (invoked, meta) = match number_of_stream(op) {
            Some(stream) => {
                let state = &self.streams[stream];
                (state.opened, state.meta.clone())
            }
            None => {
                let call = &mut self.waiting[op as usize];
                (call.invoked, std::mem::take(&mut call.meta))
            }
        };
        let session = SessionId(conn);
        self.give(
            node,
            Lane::Apply,
            Input::Request {
                id: ReqId(op),
                session,
                meta,
                req,
            },
            Some(invoked),
        );
    }

    pub(crate) fn reply(
        &mut self,
        id: ReqId,
        result: Box<Result<Response, Status>>,
        last: bool,
        cause: Option<u64>,
    ) {
        let op = id.0;
        self.hash_answer(op, &result);
        if number_of_stream(op).is_some() {
            self.stream_reply(op, result, last, cause);
            return;
        }
        let conn = self.waiting[op as usize].conn;
        if !self.conns.answered(conn, op) {
            return;
        }
        let at = self.reaches_client(conn);
        self.queue.push(at, Due::Answer { op, cause, result });
    }

    pub(crate) fn close(&mut self, conn: u64) {
        self.conns.close(conn);
        if let Some(gone) = self.conns.forget(conn) {
            self.net.forget(gone.client, gone.number, gone.node);
        }
    }

    /// The member's machine resets a connection. Answers that left before still
    /// arrive; whatever was not answered breaks when the reset arrives.
    pub(crate) fn reset(&mut self, conn: u64, also_under_way: bool) {
        for op in self.conns.unanswered(conn, also_under_way) {
            let at = self.reaches_client(conn);
            self.queue.push(at, Due::Broken { op, refused: false });
        }
        self.close(conn);
    }

    /// Resets open connections, of one client or to one member. Returns how
    /// many.
    pub(crate) fn reset_connections(&mut self, of: impl Fn(&Conn) -> bool) -> u64 {
        let open = self.conns.open(of);
        for &conn in &open {
            let (_, _, node) = self.conn(conn);
            self.reset(conn, true);
            if self.node(node).up {
                self.give(node, Lane::Apply, Input::Closed(SessionId(conn)), None);
            }
        }
        open.len() as u64
    }

    /// The client learns an outcome, unless it knows one already.
    pub(crate) fn settle(&mut self, op: u64, cause: Option<u64>, outcome: Outcome) {
        let waiting = &mut self.waiting[op as usize];
        if waiting.done {
            return;
        }
        waiting.done = true;
        let task = waiting.task.take();
        self.queue.cancel(
            waiting.until,
            |due| matches!(due, Due::GiveUp { op: late, .. } if *late == op),
        );
        self.recorder.returned(self.now, op, cause, outcome);
        if let Some(task) = task {
            self.wake(task);
        }
    }

    /// The client waits no longer for an outcome. Of calls that may wait for ever
    /// it tells the member so; others time out there by themselves.
    pub(crate) fn give_up(&mut self, op: u64, why: Why) {
        let was_open = !self.waiting[op as usize].done;
        self.settle(op, None, Outcome::Unknown(why));
        let call = &self.recorder.history[op as usize].call;
        let conn = self.waiting[op as usize].conn;
        if was_open
            && matches!(call, Request::Lock(_) | Request::Election(_))
            && self.conns.is_open(conn)
        {
            let at = self.reaches_member(conn);
            self.queue.push(at, Due::Cancel { call: op });
        }
    }

    /// The client's word that it gave up a call reaches the member.
    pub(crate) fn cancel_arrives(&mut self, call: u64) {
        let conn = match number_of_stream(call) {
            Some(stream) => self.streams[stream].conn,
            None => self.waiting[call as usize].conn,
        };
        if !self.conns.is_open(conn) {
            return;
        }
        let (_, _, node) = self.conn(conn);
        if self.node(node).up {
            self.conns.answered(conn, call);
            self.give(node, Lane::Apply, Input::Cancel(ReqId(call)), None);
        }
    }

    pub(crate) fn hash_call(&mut self, op: u64, req: &Request) {
        self.scratch.clear();
        req.encode(&mut self.scratch);
        self.recorder.mix(PartKind::Call, op, &self.scratch);
    }

    pub(crate) fn hash_answer(&mut self, op: u64, result: &Result<Response, Status>) {
        self.scratch.clear();
        match result {
            Ok(response) => response.encode(&mut self.scratch),
            Err(status) => self.scratch.extend_from_slice(status.message.as_bytes()),
        }
        self.recorder.mix(PartKind::Answer, op, &self.scratch);
    }
}
