//! Users whose permissions change while they work: an administrator that grants
//! and revokes, and users that try what they may and what they may not.
//!
//! Step `n` of each is a function of the seed, of who it is, of `n`, and of what
//! it was answered.

mod administrator;
mod user;

pub(crate) use administrator::Administrator;
pub(crate) use user::{Showing, User};

use crate::draw::Draw;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) const ROOT: &str = "root";
/// The user that has no password.
const MACHINE: &str = "machine";
/// How many keys permissions are about: `p0` to `p9`.
const KEYS: u64 = 10;

/// The name of user number `n`.
pub(crate) fn user_name(n: u32) -> String {
    format!("u{n}")
}

/// The passwords that everybody was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book(Arc<Mutex<BTreeMap<String, String>>>);

impl Book {
    /// The password of a user, as last told.
    pub(crate) fn password(&self, user: &str) -> String {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.get(user).cloned().unwrap_or_default()
    }

    fn tell(&self, user: &str, password: &str) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.insert(user.into(), password.into());
    }
}

fn key(n: u64) -> Bytes {
    Bytes::from(format!("p{n}"))
}

/// A key, or keys that stand together, as permissions, ranges and watches are
/// about.
pub(crate) fn span(draw: &mut Draw) -> (Bytes, Bytes) {
    let first = draw.below(KEYS);
    match draw.below(8) {
        0 => (Bytes::from_static(b"p"), Bytes::from_static(b"q")),
        1 => (key(first), Bytes::from_static(&[0])),
        2 | 3 if first + 1 < KEYS => (key(first), key(draw.between(first + 1, KEYS - 1))),
        _ => (key(first), Bytes::new()),
    }
}
