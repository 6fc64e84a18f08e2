//! Who grants and revokes.

use super::{Book, MACHINE, ROOT, span, user_name};
use crate::draw::Draw;
use bytes::Bytes;
use squall_api::pb;
use squall_api::pb::authpb::permission::Type;
use squall_api::pb::authpb::{Permission, UserAddOptions};
use squall_api::{AuthRequest, Code};
use squall_record::Outcome;
use std::collections::{BTreeSet, VecDeque};

const ROLES: u64 = 3;

/// A permission that a role has.
type Granted = (String, Bytes, Bytes);

/// Sets up users and roles, enables auth, and then changes one thing after the
/// other. What has no certain outcome is asked for again.
#[derive(Debug)]
pub(crate) struct Administrator {
    seed: u64,
    users: u32,
    book: Book,
    /// What is to be done next, in order.
    due: VecDeque<AuthRequest>,
    changes: u64,
    passwords: u64,
    granted: BTreeSet<Granted>,
    belongs: BTreeSet<(String, String)>,
}

impl Administrator {
    pub(crate) fn new(seed: u64, users: u32, book: Book) -> Administrator {
        let mut admin = Administrator {
            seed,
            users,
            book,
            due: VecDeque::new(),
            changes: 0,
            passwords: 0,
            granted: BTreeSet::new(),
            belongs: BTreeSet::new(),
        };
        admin.set_up();
        admin
    }

    /// The next call, and how many nanoseconds to wait before it at a mean pause
    /// between changes.
    pub(crate) fn next_step(&mut self, pause: u64) -> (u64, AuthRequest) {
        let mut wait = 0;
        if self.due.is_empty() {
            let mut draw = Draw::keyed(self.seed, "permissions", 0, self.changes);
            self.changes += 1;
            wait = draw.exponential(pause as f64) as u64;
            self.draw_change(&mut draw);
        }
        (wait, self.due[0].clone())
    }

    /// Learns whether the last call is over.
    pub(crate) fn learn(&mut self, outcome: &Outcome) {
        let Some(call) = self.due.front().cloned() else {
            return;
        };
        let is_over = match outcome {
            Outcome::Ok(_) => true,
            Outcome::Refused(status) => is_final(status),
            Outcome::Unknown(_) => false,
        };
        if !is_over {
            return;
        }
        self.due.pop_front();
        if let (AuthRequest::UserAdd(add), Outcome::Refused(_)) = (&call, outcome)
            && add.options.is_none()
        {
            // Who knows with which password it is there?
            let change = self.change_password(&add.name);
            self.due.push_front(change);
        }
    }

    fn set_up(&mut self) {
        // Nobody may be locked out.
        self.due
            .push_back(AuthRequest::Enable(pb::AuthEnableRequest {}));
        let mut names = vec![ROOT.to_owned()];
        names.extend((0..self.users).map(user_name));
        for name in names {
            let add = self.add_user(&name);
            self.due.push_back(add);
        }
        self.due
            .push_back(AuthRequest::UserAdd(pb::AuthUserAddRequest {
                name: MACHINE.into(),
                options: Some(UserAddOptions { no_password: true }),
                ..pb::AuthUserAddRequest::default()
            }));
        for role in (0..ROLES).map(role_name) {
            self.due
                .push_back(AuthRequest::RoleAdd(pb::AuthRoleAddRequest { name: role }));
        }
        self.give(ROOT, ROOT);
        for n in 0..self.users {
            self.give(&user_name(n), &role_name(u64::from(n) % ROLES));
        }
        let mut draw = Draw::keyed(self.seed, "first permissions", 0, 0);
        for role in (0..ROLES).map(role_name) {
            for _ in 0..2 {
                self.grant(&mut draw, role.clone());
            }
        }
        self.due
            .push_back(AuthRequest::Enable(pb::AuthEnableRequest {}));
    }

    fn draw_change(&mut self, draw: &mut Draw) {
        let user = user_name(draw.below(self.users.into()) as u32);
        let role = role_name(draw.below(ROLES));
        match draw.below(20) {
            0..=6 => self.grant(draw, role),
            7..=12 => self.revoke(draw, role),
            13..=15 if !self.belongs.contains(&(user.clone(), role.clone())) => {
                self.give(&user, &role);
            }
            13..=15 => self.take(&user, &role),
            16 => {
                let change = self.change_password(&user);
                self.due.push_back(change);
            }
            17 => self.replace_user(&user, &role),
            18 if draw.one_in(2) => {
                self.due
                    .push_back(AuthRequest::Disable(pb::AuthDisableRequest {}));
                self.due
                    .push_back(AuthRequest::Enable(pb::AuthEnableRequest {}));
            }
            18 => self.replace_role(&role),
            _ => self
                .due
                .push_back(AuthRequest::UserList(pb::AuthUserListRequest {})),
        }
    }

    fn grant(&mut self, draw: &mut Draw, role: String) {
        let (key, range_end) = span(draw);
        let mut perm = Permission {
            key: key.clone(),
            range_end: range_end.clone(),
            ..Permission::default()
        };
        perm.set_perm_type(match draw.below(4) {
            0 => Type::Read,
            1 => Type::Write,
            _ => Type::Readwrite,
        });
        self.granted.insert((role.clone(), key, range_end));
        self.due.push_back(AuthRequest::RoleGrantPermission(
            pb::AuthRoleGrantPermissionRequest {
                name: role,
                perm: Some(perm),
            },
        ));
    }

    /// Takes from a role something that it has; without any, it is given something.
    fn revoke(&mut self, draw: &mut Draw, role: String) {
        let of_role = self.granted.iter().filter(|(of, _, _)| *of == role);
        let all: Vec<Granted> = of_role.cloned().collect();
        if all.is_empty() {
            return self.grant(draw, role);
        }
        let chosen = all[draw.below(all.len() as u64) as usize].clone();
        self.granted.remove(&chosen);
        let (role, key, range_end) = chosen;
        self.due.push_back(AuthRequest::RoleRevokePermission(
            pb::AuthRoleRevokePermissionRequest {
                role,
                key,
                range_end,
            },
        ));
    }

    fn give(&mut self, user: &str, role: &str) {
        self.belongs.insert((user.into(), role.into()));
        self.due
            .push_back(AuthRequest::UserGrantRole(pb::AuthUserGrantRoleRequest {
                user: user.into(),
                role: role.into(),
            }));
    }

    fn take(&mut self, user: &str, role: &str) {
        self.belongs.remove(&(user.into(), role.into()));
        self.due
            .push_back(AuthRequest::UserRevokeRole(pb::AuthUserRevokeRoleRequest {
                name: user.into(),
                role: role.into(),
            }));
    }

    /// Another user of the same name.
    fn replace_user(&mut self, user: &str, role: &str) {
        self.belongs.retain(|(of, _)| of != user);
        self.due
            .push_back(AuthRequest::UserDelete(pb::AuthUserDeleteRequest {
                name: user.into(),
            }));
        let add = self.add_user(user);
        self.due.push_back(add);
        self.give(user, role);
    }

    /// Another role of the same name, which nobody has.
    fn replace_role(&mut self, role: &str) {
        self.belongs.retain(|(_, of)| of != role);
        self.granted.retain(|(of, _, _)| of != role);
        self.due
            .push_back(AuthRequest::RoleDelete(pb::AuthRoleDeleteRequest {
                role: role.into(),
            }));
        self.due
            .push_back(AuthRequest::RoleAdd(pb::AuthRoleAddRequest {
                name: role.into(),
            }));
    }

    fn add_user(&mut self, name: &str) -> AuthRequest {
        AuthRequest::UserAdd(pb::AuthUserAddRequest {
            name: name.into(),
            password: self.new_password(name),
            ..pb::AuthUserAddRequest::default()
        })
    }

    fn change_password(&mut self, name: &str) -> AuthRequest {
        AuthRequest::UserChangePassword(pb::AuthUserChangePasswordRequest {
            name: name.into(),
            password: self.new_password(name),
            ..pb::AuthUserChangePasswordRequest::default()
        })
    }

    /// One that was never used before; everybody is told at once.
    fn new_password(&mut self, name: &str) -> String {
        self.passwords += 1;
        let password = format!("{name}/{}", self.passwords);
        self.book.tell(name, &password);
        password
    }
}

fn role_name(n: u64) -> String {
    format!("r{n}")
}

/// Whether a call was understood, and is not to be asked for again.
fn is_final(status: &squall_api::Status) -> bool {
    let may_change = [
        "etcdserver: revision of auth store is old",
        "etcdserver: user name is empty",
    ];
    matches!(
        status.code,
        Code::FailedPrecondition | Code::InvalidArgument
    ) && !may_change.contains(&status.message.as_str())
}
