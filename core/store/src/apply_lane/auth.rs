//! Auth in the lane: who calls, logins, and the calls of the service `Auth`.

use super::{ApplyLane, reply};
use crate::auth::{Auth, Caller, hash_password};
use crate::error::{Failed, Refusal};
use crate::reads::{Login, Query, Read};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use squall_api::pb::alarm_request::AlarmAction;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{self, InternalAuthenticateRequest, RequestHeader};
use squall_api::{
    AuthRequest, AuthResponse, Bug, ClusterRequest, Effects, Fatal, MaintenanceRequest, Metadata,
    Now, ReqId, Request, Response, SessionId, Status,
};
use std::collections::BTreeMap;

/// What the lane keeps about callers.
#[derive(Debug)]
pub(super) struct Callers {
    /// The tokens of calls that may still be open.
    tokens: BTreeMap<ReqId, String>,
    /// When so many tokens are kept, those of calls that have ended are dropped.
    sweep_at: usize,
    /// Calls whose token came with an entry that is not applied here yet.
    early: Vec<Early>,
    /// The logins that wait for an entry.
    logins: BTreeMap<u64, Login>,
    /// Where salts and tokens come from.
    rng: ChaCha8Rng,
}

/// A call, or a further message on it, that waits for entry `index`.
#[derive(Debug)]
struct Early {
    index: u64,
    id: ReqId,
    session: SessionId,
    meta: Option<Metadata>,
    req: Request,
}

const SWEEP_AT: usize = 64;

impl Callers {
    pub(super) fn new(rng: ChaCha8Rng) -> Callers {
        Callers {
            tokens: BTreeMap::new(),
            sweep_at: SWEEP_AT,
            early: Vec::new(),
            logins: BTreeMap::new(),
            rng,
        }
    }
}

impl ApplyLane {
    /// Notes with which token a call comes. Gives the call back unless it has to
    /// wait for the entry that brought the token.
    pub(super) fn note_caller(
        &mut self,
        now: Now,
        id: ReqId,
        session: SessionId,
        meta: Metadata,
        req: Request,
    ) -> Option<(Metadata, Request)> {
        if meta.token.is_empty() || !asks_who(&req) {
            return Some((meta, req));
        }
        self.auth.used(now.mono, &meta.token);
        if let Some(index) = self.auth.comes_with_the_log(&meta.token)
            && index > self.meta.index
        {
            self.wait(now, id, session, None);
            self.callers.early.push(Early {
                index,
                id,
                session,
                meta: Some(meta),
                req,
            });
            return None;
        }
        if self.callers.tokens.len() >= self.callers.sweep_at {
            let (waiting, hub, ranges) = (&self.waiting, &self.hub, &self.range_streams);
            let is_open =
                |id: &ReqId| waiting.has(*id) || hub.token(*id).is_some() || ranges.has(*id);
            self.callers.tokens.retain(|id, _| is_open(id));
            self.callers.sweep_at = SWEEP_AT.max(2 * self.callers.tokens.len());
        }
        self.callers.tokens.insert(id, meta.token.clone());
        Some((meta, req))
    }

    /// A further message on a call that waits for its token waits with it.
    pub(super) fn note_message(&mut self, id: ReqId, req: Request) -> Option<Request> {
        let Some(first) = self.callers.early.iter().find(|early| early.id == id) else {
            return Some(req);
        };
        let (index, session) = (first.index, first.session);
        self.callers.early.push(Early {
            index,
            id,
            session,
            meta: None,
            req,
        });
        None
    }

    /// Goes on with the calls whose tokens have come.
    pub(super) fn serve_early(&mut self, now: Now, fx: &mut Effects) -> Result<(), Fatal> {
        if self.callers.early.is_empty() {
            return Ok(());
        }
        let applied = self.meta.index;
        let ready = self
            .callers
            .early
            .extract_if(.., |early| early.index <= applied);
        for early in ready.collect::<Vec<_>>() {
            let id = early.id;
            match early.meta {
                Some(meta) if self.waiting.take(id) => {
                    self.request(now, id, early.session, meta, early.req, fx)?;
                }
                Some(_) => {}
                None => self.message(now, id, early.req, fx)?,
            }
        }
        Ok(())
    }

    /// Who makes this call.
    pub(super) fn caller(&self, now: Now, id: ReqId) -> Result<Option<Caller>, Refusal> {
        match self.callers.tokens.get(&id) {
            Some(token) => self.auth.identify(now, token),
            None => Ok(None),
        }
    }

    /// Whether what is decided by this member alone may be asked of it.
    pub(super) fn admit(&self, now: Now, id: ReqId, req: &Request) -> Result<(), Refusal> {
        let is_roots = match req {
            Request::HashKv(_) => true,
            Request::Cluster(req) => !matches!(req, ClusterRequest::MemberList(_)),
            Request::Maintenance(MaintenanceRequest::Alarm(req)) => {
                if req.action == AlarmAction::Get as i32 {
                    return self.auth.must_be_known(self.caller(now, id)?.as_ref());
                }
                true
            }
            Request::Maintenance(_) => true,
            _ => false,
        };
        if is_roots && !self.bugs.has(Bug::OpenMaintenance) {
            return self.auth.may_manage(self.caller(now, id)?.as_ref());
        }
        Ok(())
    }

    /// Whether `caller` may do what an entry says.
    pub(super) fn permit(&self, header: &RequestHeader, command: &Command) -> Result<(), Refusal> {
        let caller = Caller::of(header);
        let keys_of = |lease: i64| -> Vec<Bytes> { self.store.attached(lease).cloned().collect() };
        self.auth.permit(caller.as_ref(), command, &keys_of)
    }

    /// Whether a client may read what it asks for, now.
    pub(super) fn permit_query(&self, now: Now, id: ReqId, query: &Query) -> Result<(), Refusal> {
        if !self.auth.is_enabled() || matches!(query, Query::Members | Query::Login(_)) {
            return Ok(());
        }
        let caller = self.caller(now, id)?;
        let caller = caller.as_ref();
        match query {
            Query::Range(req) | Query::RangeStream(_, req) => {
                self.auth.may_read(caller, &req.key, &req.range_end)
            }
            Query::Txn(req) => self.auth.permit_txn(caller, req, &|_| Vec::new()),
            Query::Auth(AuthRequest::UserGet(req)) => self.auth.may_see_user(caller, &req.name),
            Query::Auth(AuthRequest::RoleGet(req)) => self.auth.may_see_role(caller, &req.role),
            Query::Auth(_) | Query::Downgrade(_) => self.auth.may_manage(caller),
            Query::Members | Query::Login(_) => Ok(()),
        }
    }

    /// Whether a client may be told the keys of a lease.
    pub(super) fn permit_keys(&self, now: Now, id: ReqId, keys: &[Bytes]) -> Result<(), Refusal> {
        if !self.auth.is_enabled() || keys.is_empty() || self.bugs.has(Bug::UncheckedLeaseKeys) {
            return Ok(());
        }
        self.auth.may_read_all(self.caller(now, id)?.as_ref(), keys)
    }

    // --- the service ---

    pub(super) fn auth_request(
        &mut self,
        now: Now,
        id: ReqId,
        session: SessionId,
        req: AuthRequest,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let command = match req {
            AuthRequest::Status(_)
            | AuthRequest::UserGet(_)
            | AuthRequest::UserList(_)
            | AuthRequest::RoleGet(_)
            | AuthRequest::RoleList(_) => {
                return self.read(now, id, session, Query::Auth(req), false, fx);
            }
            AuthRequest::Authenticate(req) => {
                let login = Query::Login(Login {
                    name: req.name,
                    password: req.password,
                });
                return self.read(now, id, session, login, false, fx);
            }
            AuthRequest::Enable(req) => Command::AuthEnable(req),
            AuthRequest::Disable(req) => Command::AuthDisable(req),
            AuthRequest::UserAdd(mut req) => {
                if !req.options.is_some_and(|options| options.no_password) {
                    match self.hash(&req.password) {
                        Ok(hash) => req.hashed_password = hash,
                        Err(refusal) => return self.refuse(id, refusal, fx),
                    }
                }
                self.forget_password(&mut req.password);
                Command::AuthUserAdd(req)
            }
            AuthRequest::UserChangePassword(mut req) => {
                match self.hash(&req.password) {
                    Ok(hash) => req.hashed_password = hash,
                    Err(refusal) => return self.refuse(id, refusal, fx),
                }
                self.forget_password(&mut req.password);
                Command::AuthUserChangePassword(req)
            }
            AuthRequest::UserDelete(req) => Command::AuthUserDelete(req),
            AuthRequest::UserGrantRole(req) => Command::AuthUserGrantRole(req),
            AuthRequest::UserRevokeRole(req) => Command::AuthUserRevokeRole(req),
            AuthRequest::RoleAdd(req) => Command::AuthRoleAdd(req),
            AuthRequest::RoleDelete(req) => Command::AuthRoleDelete(req),
            AuthRequest::RoleGrantPermission(req) => Command::AuthRoleGrantPermission(req),
            AuthRequest::RoleRevokePermission(req) => Command::AuthRoleRevokePermission(req),
        };
        self.propose(now, id, session, command, fx);
        Ok(())
    }

    /// Applies a change of users or roles; `None` for other commands.
    pub(super) fn manage(&mut self, command: &Command) -> Option<Result<Response, Failed>> {
        let rehashed = match command {
            Command::AuthUserAdd(req) if self.bugs.has(Bug::HashAtApply) => {
                self.hash(&req.password).ok()
            }
            _ => None,
        };
        let header = Some(self.header());
        let (auth, rows) = (&mut self.auth, &mut self.rows);
        let done = match command {
            Command::AuthEnable(_) => auth
                .enable(rows)
                .map(|()| AuthResponse::Enable(pb::AuthEnableResponse { header })),
            Command::AuthDisable(_) => {
                auth.disable(rows);
                Ok(AuthResponse::Disable(pb::AuthDisableResponse { header }))
            }
            Command::AuthUserAdd(req) => auth
                .add_user(rows, with_hash(req, rehashed))
                .map(|()| AuthResponse::UserAdd(pb::AuthUserAddResponse { header })),
            Command::AuthUserDelete(req) => auth
                .delete_user(rows, &req.name)
                .map(|()| AuthResponse::UserDelete(pb::AuthUserDeleteResponse { header })),
            Command::AuthUserChangePassword(req) => auth.change_password(rows, req).map(|()| {
                AuthResponse::UserChangePassword(pb::AuthUserChangePasswordResponse { header })
            }),
            Command::AuthUserGrantRole(req) => auth
                .grant_role(rows, req)
                .map(|()| AuthResponse::UserGrantRole(pb::AuthUserGrantRoleResponse { header })),
            Command::AuthUserRevokeRole(req) => auth
                .revoke_role(rows, req)
                .map(|()| AuthResponse::UserRevokeRole(pb::AuthUserRevokeRoleResponse { header })),
            Command::AuthRoleAdd(req) => auth
                .add_role(rows, &req.name)
                .map(|()| AuthResponse::RoleAdd(pb::AuthRoleAddResponse { header })),
            Command::AuthRoleDelete(req) => auth
                .delete_role(rows, &req.role)
                .map(|()| AuthResponse::RoleDelete(pb::AuthRoleDeleteResponse { header })),
            Command::AuthRoleGrantPermission(req) => {
                auth.grant_permission(rows, req.clone()).map(|()| {
                    AuthResponse::RoleGrantPermission(pb::AuthRoleGrantPermissionResponse {
                        header,
                    })
                })
            }
            Command::AuthRoleRevokePermission(req) => auth.revoke_permission(rows, req).map(|()| {
                AuthResponse::RoleRevokePermission(pb::AuthRoleRevokePermissionResponse { header })
            }),
            _ => return None,
        };
        Some(done.map(Response::Auth).map_err(Failed::Refused))
    }

    /// Answers what is asked about users and roles.
    pub(super) fn query_auth(&self, req: &AuthRequest) -> Result<Response, Failed> {
        let header = Some(self.header());
        let auth = &self.auth;
        Ok(Response::Auth(match req {
            AuthRequest::Status(_) => AuthResponse::Status(pb::AuthStatusResponse {
                header,
                enabled: auth.is_enabled(),
                auth_revision: auth.revision(),
            }),
            AuthRequest::UserGet(req) => AuthResponse::UserGet(pb::AuthUserGetResponse {
                header,
                roles: auth.user(&req.name)?.roles.clone(),
            }),
            AuthRequest::UserList(_) => AuthResponse::UserList(pb::AuthUserListResponse {
                header,
                users: auth.user_names(),
            }),
            AuthRequest::RoleGet(req) => AuthResponse::RoleGet(pb::AuthRoleGetResponse {
                header,
                perm: auth.permissions(&req.role)?,
            }),
            AuthRequest::RoleList(_) => AuthResponse::RoleList(pb::AuthRoleListResponse {
                header,
                roles: auth.role_names(),
            }),
            other => unreachable!("{} is no question", other.name()),
        }))
    }

    // --- logins ---

    /// The password of a user that waits is checked, and a token proposed, so
    /// that it is valid at every member. The entry holds no password.
    pub(super) fn log_in(&mut self, id: ReqId, login: Login, fx: &mut Effects) {
        let checked = match self.auth.check_password(&login.name, &login.password) {
            Ok(revision) => revision,
            Err(refusal) => return self.answer(id, Err(refusal.status()), fx),
        };
        let proposal = self.draw_id();
        let caller = Caller {
            user: login.name.clone(),
            revision: checked,
        };
        let command = Command::Authenticate(InternalAuthenticateRequest {
            name: login.name.clone(),
            password: String::new(),
            simple_token: self.draw_token(),
        });
        let waiting = &self.waiting;
        self.callers
            .logins
            .retain(|id, _| waiting.has_proposal(*id));
        self.callers.logins.insert(proposal, login);
        self.waiting.await_proposal(id, proposal);
        self.propose_as(Some(caller), id, proposal, command, fx);
    }

    /// Applies a login. If the users have changed since the password was
    /// checked, whoever checked it does so again.
    pub(super) fn authenticate(
        &mut self,
        now: Now,
        index: u64,
        header: &RequestHeader,
        req: &InternalAuthenticateRequest,
    ) -> Result<Response, Failed> {
        let is_own = self.waiting.has_proposal(header.id);
        let outcome = self.auth.may_log_in(&req.name, header.auth_revision);
        let login = self.callers.logins.remove(&header.id);
        if outcome == Err(Refusal::AuthOldRevision)
            && let Some(login) = login
            && let Some(id) = self.waiting.release_proposal(header.id)
        {
            self.reads.add(Read::Client {
                req: id,
                query: Query::Login(login),
            });
        }
        outcome?;
        let simple = format!("{}.{index}", req.simple_token);
        let token = match is_own || !self.bugs.has(Bug::TokenBoundToMember) {
            true => self.auth.assign(now, &req.name, simple),
            false => simple,
        };
        Ok(Response::Auth(AuthResponse::Authenticate(
            pb::AuthenticateResponse {
                header: Some(self.header()),
                token,
            },
        )))
    }

    // --- watches ---

    /// Whether a watch may be created; if not, says so on the stream.
    pub(super) fn admit_watch(
        &mut self,
        now: Now,
        stream: ReqId,
        message: &pb::WatchRequest,
        fx: &mut Effects,
    ) -> bool {
        let Some(pb::watch_request::RequestUnion::CreateRequest(create)) = &message.request_union
        else {
            return true;
        };
        let key = match &create.key[..] {
            [] => &[0],
            key => key,
        };
        let token = self.hub.token(stream).unwrap_or_default();
        let permitted = self.auth.identify(now, token).and_then(|caller| {
            self.auth
                .may_read(caller.as_ref(), key, &create.range_end)?;
            Ok(caller)
        });
        match permitted {
            Ok(caller) => {
                self.hub.known_as(stream, caller.map(|caller| caller.user));
                true
            }
            Err(refusal) => {
                let mut out = Vec::new();
                let reason = refusal.status().message;
                self.hub.refuse(&self.store, stream, reason, &mut out);
                self.say(out, fx);
                false
            }
        }
    }

    /// Permissions may have changed: whoever may not read any more what it
    /// watches is told no more.
    pub(super) fn recheck_watches(&mut self, fx: &mut Effects) {
        if self.bugs.has(Bug::WatchOutlivesPermission) {
            return;
        }
        let auth: &Auth = &self.auth;
        let ends_all = self.bugs.has(Bug::WatchEndsAtChange);
        let may_read = |user: Option<&str>, key: &[u8], range_end: &[u8]| {
            let caller = user.map(|user| Caller {
                user: user.to_owned(),
                revision: auth.revision(),
            });
            auth.may_read(caller.as_ref(), key, range_end).is_ok() && !ends_all
        };
        let mut out = Vec::new();
        let reason = Refusal::PermissionDenied.status().message;
        self.hub.recheck(&self.store, may_read, &reason, &mut out);
        self.say(out, fx);
    }

    // --- small things ---

    fn refuse(&self, id: ReqId, refusal: Refusal, fx: &mut Effects) -> Result<(), Fatal> {
        reply(id, Err::<_, Status>(refusal.status()), fx);
        Ok(())
    }

    /// As entries carry it.
    fn hash(&mut self, password: &str) -> Result<String, Refusal> {
        let mut salt = [0; 16];
        self.callers.rng.fill_bytes(&mut salt);
        let hash = hash_password(password, self.cfg.bcrypt_cost, salt)?;
        Ok(STANDARD.encode(hash))
    }

    fn forget_password(&self, password: &mut String) {
        if !self.bugs.has(Bug::PasswordInLog) && !self.bugs.has(Bug::HashAtApply) {
            password.clear();
        }
    }

    /// Sixteen letters, as etcd's tokens begin.
    fn draw_token(&mut self) -> String {
        let mut bytes = [0; 16];
        self.callers.rng.fill_bytes(&mut bytes);
        // 26 letters twice do not divide 256: a token has 90 bits all the same.
        let letter = |byte: &u8| match byte % 52 {
            small @ 0..26 => char::from(b'a' + small),
            capital => char::from(b'A' + capital - 26),
        };
        bytes.iter().map(letter).collect()
    }
}

/// As it came, but for a planted bug's own hash.
fn with_hash(req: &pb::AuthUserAddRequest, hash: Option<String>) -> pb::AuthUserAddRequest {
    let mut req = req.clone();
    if let Some(hash) = hash {
        req.hashed_password = hash;
    }
    req
}

/// Whether it matters who makes this call.
fn asks_who(req: &Request) -> bool {
    !matches!(
        req,
        Request::Status(_)
            | Request::Cluster(ClusterRequest::MemberList(_))
            | Request::Auth(AuthRequest::Authenticate(_))
    )
}
