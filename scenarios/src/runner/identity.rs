//! A client that logs in when it has to.

use crate::permissions::Book;
use squall_api::{AuthRequest, AuthResponse, Code, Metadata, Status, pb};
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::{SimClient, SimStream};
use std::time::Duration;

/// A client that acts as a user, if there are users.
pub(super) struct Identity {
    client: SimClient,
    user: Option<(String, Book)>,
    token: String,
}

impl Identity {
    /// Nobody: its calls come without a token.
    pub(super) fn nobody(client: SimClient) -> Identity {
        Identity {
            client,
            user: None,
            token: String::new(),
        }
    }

    pub(super) fn of(client: SimClient, user: &str, book: &Book) -> Identity {
        Identity {
            user: Some((user.to_owned(), book.clone())),
            ..Identity::nobody(client)
        }
    }

    /// Calls without a token.
    pub(super) async fn call_as_nobody(
        &mut self,
        member: u64,
        call: Call,
        limit: Duration,
    ) -> Outcome {
        self.client.set_token(String::new());
        self.client.call(member, call, limit).await
    }

    /// Calls with the token that it has, and forgets it if it is not known.
    pub(super) async fn call_once(&mut self, member: u64, call: Call, limit: Duration) -> Outcome {
        self.client.set_token(self.token.clone());
        let outcome = self.client.call(member, call, limit).await;
        if asks_who(&outcome) {
            self.token.clear();
        }
        outcome
    }

    /// Gets a token, if it has none; whether it has one now.
    pub(super) async fn log_in(&mut self, member: u64, limit: Duration) -> bool {
        let Some((name, book)) = &self.user else {
            return false;
        };
        if !self.token.is_empty() {
            return true;
        }
        let login = Call::Auth(AuthRequest::Authenticate(pb::AuthenticateRequest {
            name: name.clone(),
            password: book.password(name),
        }));
        match self.call_as_nobody(member, login, limit).await {
            Outcome::Ok(Ret::Auth(AuthResponse::Authenticate(answer))) => {
                self.token = answer.token;
                true
            }
            _ => false,
        }
    }

    /// Forgets its token.
    pub(super) fn log_out(&mut self) {
        self.token.clear();
    }

    /// Opens a stream with the token that it has.
    pub(super) fn stream(&self, member: u64, first: Call) -> SimStream {
        let meta = Metadata {
            token: self.token.clone(),
            ..Metadata::default()
        };
        self.client.stream(member, meta, first)
    }
}

impl Target for Identity {
    /// Who is asked who it is logs in and asks once more.
    async fn call(&mut self, member: u64, call: Call, limit: Duration) -> Outcome {
        let outcome = self.call_once(member, call.clone(), limit).await;
        match asks_who(&outcome) && self.log_in(member, limit).await {
            true => self.call_once(member, call, limit).await,
            false => outcome,
        }
    }
}

/// Whether the member does not know who calls.
fn asks_who(outcome: &Outcome) -> bool {
    let Outcome::Refused(Status { code, message }) = outcome else {
        return false;
    };
    *code == Code::Unauthenticated || message == "etcdserver: user name is empty"
}
