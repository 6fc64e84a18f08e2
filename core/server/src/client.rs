//! Calls from within the process.

use squall_api::{Code, Input, Metadata, ReqId, Request, Response, SessionId, Status};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// A connection to the member in this process. Cheap to make; one call at a
/// time or many, as one likes.
#[derive(Debug)]
pub struct Client {
    inbox: UnboundedSender<Input>,
    replies: Arc<Replies>,
    session: SessionId,
}

impl Client {
    pub(crate) fn new(inbox: UnboundedSender<Input>, replies: Arc<Replies>) -> Client {
        let session = SessionId(replies.next_session.fetch_add(1, Ordering::Relaxed));
        Client {
            inbox,
            replies,
            session,
        }
    }

    /// Calls the member and waits for its answer, which comes at the latest
    /// when the member's request timeout has passed.
    ///
    /// `Unavailable` when the member ends first: the call may have had its
    /// effect, or may have it yet.
    pub async fn call(&self, request: Request) -> Result<Response, Status> {
        if matches!(request, Request::Watch(_)) {
            let message = "a watch has no single answer: this edge serves no streams";
            return Err(Status::new(Code::Unimplemented, message));
        }
        let (id, answer) = self.replies.expect();
        let input = Input::Request {
            id,
            session: self.session,
            meta: Metadata::default(),
            req: Box::new(request),
        };
        if self.inbox.send(input).is_err() {
            self.replies.forget(id);
            return Err(stopped());
        }
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A member that is gone needs not be told.
        drop(self.inbox.send(Input::Closed(self.session)));
    }
}

fn stopped() -> Status {
    Status::new(Code::Unavailable, "etcdserver: server stopped")
}

type Waiting = BTreeMap<ReqId, oneshot::Sender<Result<Response, Status>>>;

/// Who waits for which answer.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    waiting: Mutex<Waiting>,
    next_request: AtomicU64,
    next_session: AtomicU64,
}

impl Replies {
    fn expect(&self) -> (ReqId, oneshot::Receiver<Result<Response, Status>>) {
        let id = ReqId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (send, receive) = oneshot::channel();
        self.lock().insert(id, send);
        (id, receive)
    }

    fn forget(&self, id: ReqId) {
        self.lock().remove(&id);
    }

    /// Hands an answer on. Calls have one answer each; whoever stopped waiting
    /// does not get it.
    pub(crate) fn reply(&self, id: ReqId, result: Result<Response, Status>, last: bool) {
        assert!(last, "request {} got an answer that is not its last", id.0);
        if let Some(waiting) = self.lock().remove(&id) {
            drop(waiting.send(result));
        }
    }

    /// Nobody will be answered any more.
    pub(crate) fn close(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
