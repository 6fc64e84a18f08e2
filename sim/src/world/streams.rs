//! Streams of clients: calls with many answers, on a connection like any other.

use super::client::SimClient;
use super::inner::Inner;
use super::process::Lane;
use super::queue::Due;
use super::shared::Shared;
use squall_api::{Input, Metadata, ReqId, Request, Response, Status};
use squall_record::{Call, Ended, Heard, Kind, PartKind, Ret, Said, Stream, WhyEnded};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// Tells streams from operations where both are known by number.
const STREAM: u64 = 1 << 63;

/// Which stream a call is, if it is one.
pub(crate) fn number_of_stream(call: u64) -> Option<usize> {
    (call & STREAM != 0).then_some((call & !STREAM) as usize)
}

/// Something that has reached the client's machine on a stream.
pub(crate) enum Item {
    Answer(Box<Result<Response, Status>>, Option<u64>),
    Broken,
}

/// What is behind a stream besides its record.
pub(crate) struct StreamState {
    pub(crate) meta: Metadata,
    /// The event that it began with.
    pub(crate) opened: u64,
    pub(super) conn: u64,
    /// What the client has not taken yet.
    inbox: VecDeque<Item>,
    /// How many answers it has not taken, those under way among them.
    unread: u64,
    /// The task that waits for something to take.
    task: Option<u32>,
    ended: bool,
}

/// A client's end of a stream. Dropping it without [`SimStream::close`] leaves
/// it open, and unread, as a client does that hangs.
pub struct SimStream {
    shared: Arc<Shared>,
    stream: u64,
}

impl SimStream {
    pub(crate) fn open(
        shared: &Arc<Shared>,
        client: u32,
        member: u64,
        meta: Metadata,
        first: Call,
    ) -> SimStream {
        let mut inner = shared.lock();
        let stream = STREAM | inner.streams.len() as u64;
        inner.open_stream(stream, client, member, meta, first);
        SimStream {
            shared: shared.clone(),
            stream,
        }
    }

    /// The next message of the member; an error once the stream has ended.
    /// `None` if there was none until true time `until`.
    pub async fn next(&mut self, until: u64) -> Option<Result<Ret, WhyEnded>> {
        let stream = self.stream;
        let mut armed = false;
        poll_fn(|_| {
            let mut inner = self.shared.lock();
            if let Some(heard) = inner.take_heard(stream) {
                return Poll::Ready(Some(heard));
            }
            if inner.now >= until {
                return Poll::Ready(None);
            }
            let task = inner.current_task;
            let state = inner.stream(stream);
            state.task = Some(task);
            if !armed {
                armed = true;
                inner.queue.push(until, Due::Wake { task });
            }
            Poll::Pending
        })
        .await
    }

    /// Says something more, if the stream has not ended.
    pub fn say(&self, message: Call) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        let stream = self.stream;
        if inner.stream(stream).ended {
            return;
        }
        let said = Said {
            t: now,
            message: message.clone(),
        };
        inner.record_of(stream).said.push(said);
        let due = Due::Message {
            stream,
            req: Box::new(message),
        };
        inner.send_on_stream(stream, due);
    }

    /// Wants no more of it.
    pub fn close(self) {
        let mut inner = self.shared.lock();
        let stream = self.stream;
        if !inner.stream(stream).ended {
            inner.end_stream(stream, WhyEnded::Closed);
            inner.send_on_stream(stream, Due::Cancel { call: stream });
        }
    }
}

impl SimClient {
    /// Opens a stream to `member`: what it is told is recorded in the history.
    pub fn stream(&self, member: u64, meta: Metadata, first: Call) -> SimStream {
        SimStream::open(&self.shared, self.client, member, meta, first)
    }
}

impl Inner {
    fn open_stream(&mut self, stream: u64, client: u32, member: u64, meta: Metadata, first: Call) {
        assert!(
            self.has_node(member),
            "there is no member n{member} to call"
        );
        let now = self.now;
        let number = stream & !STREAM;
        let what = first.name();
        self.recorder.streams.push(Stream {
            id: number,
            client,
            member,
            token: meta.token.clone(),
            said: vec![Said {
                t: now,
                message: first.clone(),
            }],
            heard: Vec::new(),
            end: None,
        });
        let opened = self
            .recorder
            .detail(now, None, None, || Kind::StreamOpened {
                stream: number,
                client,
                what: what.into(),
            });
        let conn = self.conns.connect(client, member);
        self.conns.sent(conn, stream);
        self.streams.push(StreamState {
            meta,
            opened,
            conn,
            inbox: VecDeque::new(),
            unread: 0,
            task: None,
            ended: false,
        });
        let at = self.reaches_member(conn);
        let due = Due::Call {
            op: stream,
            conn,
            req: Box::new(first),
        };
        self.queue.push(at, due);
    }

    fn stream(&mut self, stream: u64) -> &mut StreamState {
        &mut self.streams[(stream & !STREAM) as usize]
    }

    fn record_of(&mut self, stream: u64) -> &mut Stream {
        &mut self.recorder.streams[(stream & !STREAM) as usize]
    }

    /// Sends something to the member, if the connection still is one.
    fn send_on_stream(&mut self, stream: u64, due: Due) {
        let conn = self.stream(stream).conn;
        if self.conns.is_open(conn) {
            let at = self.reaches_member(conn);
            self.queue.push(at, due);
        }
    }

    /// The member that serves a stream, if it can be told anything.
    fn served_by(&mut self, stream: u64) -> Option<u64> {
        let conn = self.stream(stream).conn;
        if !self.conns.is_open(conn) {
            return None;
        }
        let (_, _, node) = self.conn(conn);
        self.node(node).up.then_some(node)
    }

    pub(crate) fn message_arrives(&mut self, stream: u64, req: Box<Request>) {
        self.hash_call(stream, &req);
        let Some(node) = self.served_by(stream) else {
            return;
        };
        let cause = Some(self.stream(stream).opened);
        let id = ReqId(stream);
        self.give(node, Lane::Apply, Input::Message { id, req }, cause);
    }

    pub(crate) fn taken_arrives(&mut self, stream: u64) {
        if let Some(node) = self.served_by(stream) {
            let input = Input::Taken {
                id: ReqId(stream),
                answers: 1,
            };
            self.give(node, Lane::Apply, input, None);
        }
    }

    /// A member answers on a stream.
    pub(crate) fn stream_reply(
        &mut self,
        stream: u64,
        result: Box<Result<Response, Status>>,
        last: bool,
        cause: Option<u64>,
    ) {
        let conn = self.stream(stream).conn;
        let is_open = match last {
            true => self.conns.answered(conn, stream),
            false => self.conns.is_open(conn),
        };
        if is_open {
            let state = self.stream(stream);
            state.unread += 1;
            let unread = state.unread;
            self.resources.unread = self.resources.unread.max(unread);
            let at = self.reaches_client(conn);
            let due = Due::StreamAnswer {
                stream,
                cause,
                result,
            };
            self.queue.push(at, due);
        }
    }

    /// Something reaches the client's machine, which keeps it until the client
    /// takes it.
    pub(crate) fn stream_hears(&mut self, stream: u64, item: Item) {
        let state = self.stream(stream);
        if state.ended {
            return;
        }
        state.inbox.push_back(item);
        if let Some(task) = state.task.take() {
            self.wake(task);
        }
    }

    /// The client takes what has come, and the member will know that it did.
    fn take_heard(&mut self, stream: u64) -> Option<Result<Ret, WhyEnded>> {
        let number = stream & !STREAM;
        let client = self.record_of(stream).client;
        let item = self.stream(stream).inbox.pop_front()?;
        if let Item::Answer(..) = item {
            self.stream(stream).unread -= 1;
        }
        let why = match item {
            Item::Answer(result, cause) => match *result {
                Ok(message) => {
                    let heard = Heard {
                        t: self.now,
                        message: message.clone(),
                    };
                    self.record_of(stream).heard.push(heard);
                    self.recorder.stats.messages_heard += 1;
                    self.recorder.detail(self.now, None, cause, || Kind::Heard {
                        stream: number,
                        client,
                    });
                    self.send_on_stream(stream, Due::Taken { stream });
                    return Some(Ok(message));
                }
                Err(status) => WhyEnded::Status(status),
            },
            Item::Broken => WhyEnded::Reset,
        };
        self.end_stream(stream, why.clone());
        Some(Err(why))
    }

    fn end_stream(&mut self, stream: u64, why: WhyEnded) {
        let now = self.now;
        let state = self.stream(stream);
        state.ended = true;
        state.inbox.clear();
        let number = stream & !STREAM;
        let word: &[u8] = match &why {
            WhyEnded::Closed => b"closed",
            WhyEnded::Reset => b"reset",
            WhyEnded::Status(_) => b"status",
        };
        self.recorder.mix(PartKind::Outcome, stream, word);
        let record = self.record_of(stream);
        record.end = Some(Ended { t: now, why });
        let client = record.client;
        self.recorder.detail(now, None, None, || Kind::StreamEnded {
            stream: number,
            client,
        });
    }
}
