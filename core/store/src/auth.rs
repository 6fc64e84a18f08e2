//! Auth: users, roles, and what they may do.
//!
//! Users and roles are replicated state, kept in rows, and changed by entries
//! only. Each change raises the *auth revision*. A write carries its caller and
//! the auth revision at which the caller was identified; it is judged when it is
//! applied, by the state of then, so that every member comes to the same answer
//! and a permission that was revoked in flight is honoured. Reads are judged
//! when they are served.

mod intervals;
mod jwt;
mod manage;
mod password;
mod permit;
mod tokens;

pub(crate) use password::hash as hash_password;

use crate::error::Refusal;
use crate::rows::Rows;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use intervals::Intervals;
use jwt::Claims;
use prost::Message as _;
use squall_api::pb::RequestHeader;
use squall_api::pb::authpb::permission::Type;
use squall_api::pb::authpb::{Permission, Role, User};
use squall_api::{AuthToken, Bug, Bugs, Config, Fatal, Jwt, Now};
use std::collections::BTreeMap;
use tokens::Tokens;

const STATE: &[u8] = b"auth/state";
const USERS: &[u8] = b"auth/user/";
const ROLES: &[u8] = b"auth/role/";

/// Who must exist while auth is enabled, and the role that may do everything.
const ROOT: &str = "root";

/// The auth revision of what a member proposes of itself: it is permitted.
const OF_MEMBER: u64 = u64::MAX;

/// Who calls, and the auth revision at which that was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) revision: u64,
}

impl Caller {
    /// A member that proposes something of itself.
    pub(crate) fn member() -> Caller {
        Caller {
            user: String::new(),
            revision: OF_MEMBER,
        }
    }

    /// The caller in an entry's header; nobody if it was not known.
    pub(crate) fn of(header: &RequestHeader) -> Option<Caller> {
        if header.term != 0 {
            // Only a leader says in which term its own proposals are good.
            return Some(Caller::member());
        }
        (header.auth_revision > 0).then(|| Caller {
            user: header.username.clone(),
            revision: header.auth_revision,
        })
    }

    /// The header of a proposal by this caller.
    pub(crate) fn header(caller: Option<Caller>, id: u64) -> RequestHeader {
        let (username, auth_revision) =
            caller.map_or_else(Default::default, |c| (c.user, c.revision));
        RequestHeader {
            id,
            username,
            auth_revision,
            term: 0,
        }
    }
}

/// The keys that a user may read, and those that it may write.
#[derive(Debug, Default)]
struct Granted {
    read: Intervals,
    write: Intervals,
}

/// Users, roles, and whether they matter.
#[derive(Debug)]
pub(crate) struct Auth {
    enabled: bool,
    revision: u64,
    /// The revision at which the member opened; only a planted bug asks.
    opened_at: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
    /// Of every user, from its roles.
    granted: BTreeMap<String, Granted>,
    tokens: Tokens,
    /// How tokens are signed, if they are.
    jwt: Option<Jwt>,
    bugs: Bugs,
}

impl Auth {
    /// The users and roles in `rows`.
    pub(crate) fn load(rows: &Rows, cfg: &Config, bugs: Bugs) -> Result<Auth, Fatal> {
        let mut auth = Auth {
            enabled: false,
            revision: 1,
            opened_at: 1,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            granted: BTreeMap::new(),
            tokens: Tokens::new(cfg.auth_token_ttl),
            jwt: match &cfg.auth_token {
                AuthToken::Simple => None,
                AuthToken::Jwt(jwt) => Some(jwt.clone()),
            },
            bugs,
        };
        auth.load_rows(rows)?;
        if bugs.has(Bug::UnsavedAuthRevision) {
            auth.revision = 1;
        }
        auth.opened_at = auth.revision;
        if bugs.has(Bug::ForgetAuthEnabled) {
            auth.enabled = false;
        }
        Ok(auth)
    }

    /// A snapshot has replaced `rows`. Tokens stay valid, but for those of
    /// users that are gone or have another password now.
    pub(crate) fn installed(&mut self, rows: &Rows) -> Result<(), Fatal> {
        if self.bugs.has(Bug::InstallKeepsOldAuth) {
            return Ok(());
        }
        let before = std::mem::take(&mut self.users);
        self.roles.clear();
        self.enabled = false;
        self.revision = 1;
        self.load_rows(rows)?;
        if !self.enabled {
            self.tokens.clear();
        }
        for (name, user) in before {
            if self
                .users
                .get(&name)
                .is_none_or(|now| now.password != user.password)
            {
                self.tokens.revoke(&name);
            }
        }
        Ok(())
    }

    fn load_rows(&mut self, rows: &Rows) -> Result<(), Fatal> {
        let corrupt = |key: &[u8], why: &str| {
            let row = String::from_utf8_lossy(key).into_owned();
            Fatal::Corrupt(format!("row {row:?} of auth {why}"))
        };
        for (_, mut value) in rows.under(STATE).map(|(key, value)| (key, value.clone())) {
            if value.len() != 9 {
                return Err(corrupt(STATE, "has another length than 9"));
            }
            self.enabled = value.get_u8() == 1;
            self.revision = value.get_u64();
        }
        let name = |key: &[u8]| {
            String::from_utf8(key.to_vec()).map_err(|_| corrupt(key, "has a name that is no text"))
        };
        for (key, value) in rows.under(USERS) {
            let user = User::decode(&value[..]).map_err(|_| corrupt(&key, "holds no user"))?;
            self.users.insert(name(&key)?, user);
        }
        for (key, value) in rows.under(ROLES) {
            let role = Role::decode(&value[..]).map_err(|_| corrupt(&key, "holds no role"))?;
            self.roles.insert(name(&key)?, role);
        }
        self.refresh();
        Ok(())
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Grows with each change of a user, a role, or of whether they matter.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Changes whenever somebody's permissions may have changed.
    pub(crate) fn epoch(&self) -> (bool, u64) {
        (self.enabled, self.revision)
    }

    /// Who calls with this token: nobody without one, and nobody while it does
    /// not matter.
    pub(crate) fn identify(&self, now: Now, token: &str) -> Result<Option<Caller>, Refusal> {
        if !self.enabled || token.is_empty() {
            return Ok(None);
        }
        if let Some(jwt) = &self.jwt {
            let claims = jwt::verify(jwt, token, now.wall).ok_or(Refusal::InvalidAuthToken)?;
            return Ok(Some(Caller {
                user: claims.user,
                // Whoever signs may lie about the future, and gains nothing.
                revision: claims.revision.min(self.revision),
            }));
        }
        let user = self
            .tokens
            .user(now.mono, token, self.bugs.has(Bug::AcceptExpiredTokens));
        let user = user.ok_or(Refusal::InvalidAuthToken)?.to_owned();
        let revision = self.revision;
        Ok(Some(Caller { user, revision }))
    }

    /// A token was used.
    pub(crate) fn used(&mut self, now: u64, token: &str) {
        self.tokens.used(now, token);
    }

    /// The token by which `user`, who has shown its password, is known from now
    /// on. `simple` is what it is if tokens are not signed.
    pub(crate) fn assign(&mut self, now: Now, user: &str, simple: String) -> String {
        if let Some(jwt) = &self.jwt {
            let claims = Claims {
                user: user.to_owned(),
                revision: self.revision,
            };
            return jwt::sign(jwt, &claims, now.wall);
        }
        self.tokens.assign(now.mono, user, simple.clone());
        simple
    }

    /// Whether an entry can bring a token, so that a member may not know it yet.
    pub(crate) fn comes_with_the_log(&self, token: &str) -> Option<u64> {
        match self.jwt {
            Some(_) => None,
            None => tokens::index(token),
        }
    }

    /// Whether `name` may log in with `password`: the auth revision at which it
    /// may.
    pub(crate) fn check_password(&self, name: &str, password: &str) -> Result<u64, Refusal> {
        if !self.enabled {
            return Err(Refusal::AuthNotEnabled);
        }
        let user = self.users.get(name).ok_or(Refusal::AuthFailed)?;
        if has_no_password(user) && !self.bugs.has(Bug::LoginWithoutPassword) {
            return Err(Refusal::NoPasswordUser);
        }
        let matches = password::matches(password, &user.password)
            || (has_no_password(user) && password.is_empty());
        match matches {
            true => Ok(self.revision),
            false => Err(Refusal::AuthFailed),
        }
    }

    /// Whether `name`, who was found to know its password at auth revision
    /// `checked`, still is who it was.
    pub(crate) fn may_log_in(&self, name: &str, checked: u64) -> Result<(), Refusal> {
        if !self.enabled {
            return Err(Refusal::AuthNotEnabled);
        }
        if !self.users.contains_key(name) {
            return Err(Refusal::AuthFailed);
        }
        match checked == self.revision {
            true => Ok(()),
            false => Err(Refusal::AuthOldRevision),
        }
    }

    // --- the state, and its rows ---

    fn bump(&mut self, rows: &mut Rows) {
        self.revision += 1;
        self.save_state(rows);
    }

    fn save_state(&self, rows: &mut Rows) {
        let mut value = BytesMut::new();
        value.put_u8(self.enabled.into());
        value.put_u64(self.revision);
        rows.set(Bytes::from_static(STATE), value.freeze());
    }

    fn save_user(&mut self, rows: &mut Rows, name: &str, user: User) {
        rows.set(row(USERS, name), user.encode_to_vec().into());
        self.users.insert(name.to_owned(), user);
    }

    fn save_role(&mut self, rows: &mut Rows, name: &str, role: Role) {
        rows.set(row(ROLES, name), role.encode_to_vec().into());
        self.roles.insert(name.to_owned(), role);
    }

    /// Computes anew who may do what.
    fn refresh(&mut self) {
        let gaps_count = !self.bugs.has(Bug::IgnorePermissionGaps);
        let granted = |user: &User| {
            let count = match self.bugs.has(Bug::OnlyFirstRole) {
                true => 1,
                false => user.roles.len(),
            };
            let roles = user.roles[..count.min(user.roles.len())].iter();
            let roles = roles.filter_map(|role| self.roles.get(role));
            let all: Vec<&Permission> = roles.flat_map(|role| &role.key_permission).collect();
            let of = |kind: Type| {
                let fits =
                    |p: &&&Permission| p.perm_type() == kind || p.perm_type() == Type::Readwrite;
                let spans = all.iter().filter(fits).map(|p| (&p.key, &p.range_end));
                match gaps_count {
                    true => Intervals::of(spans),
                    false => Intervals::hull(spans),
                }
            };
            Granted {
                read: of(Type::Read),
                write: of(Type::Write),
            }
        };
        let all = self
            .users
            .iter()
            .map(|(name, user)| (name.clone(), granted(user)));
        self.granted = all.collect();
    }
}

fn row(prefix: &'static [u8], name: &str) -> Bytes {
    let mut key = BytesMut::from(prefix);
    key.put_slice(name.as_bytes());
    key.freeze()
}

fn has_no_password(user: &User) -> bool {
    user.options
        .as_ref()
        .is_some_and(|options| options.no_password)
}

fn is_root(user: &User) -> bool {
    user.roles.iter().any(|role| role == ROOT)
}
