//! Simple tokens: names for users that have shown their password.
//!
//! A token comes with the log, so that it is valid at every member, and is kept
//! in memory only: after a restart a client has to log in again. Each member
//! lets it expire by its own clock, so long after its last use there.

use std::collections::{BTreeMap, BTreeSet};

/// The entry that brought a token, which is part of it: a member that has not
/// come so far cannot know it yet. `None` for what is no simple token.
pub(crate) fn index(token: &str) -> Option<u64> {
    let (_, index) = token.split_once('.')?;
    index.parse().ok()
}

#[derive(Debug)]
pub(super) struct Tokens {
    ttl: u64,
    users: BTreeMap<String, Token>,
    by_expiry: BTreeSet<(u64, String)>,
}

#[derive(Debug)]
struct Token {
    user: String,
    expires: u64,
}

impl Tokens {
    pub(super) fn new(ttl: u64) -> Tokens {
        Tokens {
            ttl,
            users: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
        }
    }

    pub(super) fn assign(&mut self, now: u64, user: &str, token: String) {
        while self.by_expiry.first().is_some_and(|(at, _)| *at <= now) {
            let (_, gone) = self.by_expiry.pop_first().expect("there is a first one");
            self.users.remove(&gone);
        }
        let expires = now.saturating_add(self.ttl);
        self.by_expiry.insert((expires, token.clone()));
        let user = user.to_owned();
        self.users.insert(token, Token { user, expires });
    }

    /// Whose token this is at `now`, or was, if that does not matter.
    pub(super) fn user(&self, now: u64, token: &str, expired_too: bool) -> Option<&str> {
        let found = self.users.get(token)?;
        (found.expires > now || expired_too).then_some(&found.user)
    }

    pub(super) fn used(&mut self, now: u64, token: &str) {
        let Some(found) = self.users.get_mut(token) else {
            return;
        };
        if found.expires <= now {
            return;
        }
        let old = (found.expires, token.to_owned());
        found.expires = now.saturating_add(self.ttl);
        self.by_expiry.remove(&old);
        self.by_expiry.insert((found.expires, old.1));
    }

    /// All tokens of a user are void.
    pub(super) fn revoke(&mut self, user: &str) {
        let by_expiry = &mut self.by_expiry;
        self.users.retain(|token, found| {
            let stays = found.user != user;
            if !stays {
                by_expiry.remove(&(found.expires, token.clone()));
            }
            stays
        });
    }

    pub(super) fn clear(&mut self) {
        self.users.clear();
        self.by_expiry.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_as_long_as_it_is_used() {
        let mut tokens = Tokens::new(10);
        tokens.assign(0, "u", "a.1".into());
        tokens.assign(0, "u", "b.2".into());
        tokens.used(9, "a.1");
        assert_eq!(tokens.user(10, "a.1", false), Some("u"));
        assert_eq!(tokens.user(10, "b.2", false), None);
        tokens.used(10, "b.2");
        assert_eq!(
            tokens.user(10, "b.2", false),
            None,
            "use does not revive it"
        );
        tokens.assign(19, "v", "c.3".into());
        assert_eq!(tokens.users.len(), 1, "what has expired is forgotten");
        tokens.assign(19, "u", "d.4".into());
        tokens.revoke("u");
        assert_eq!((tokens.users.len(), tokens.by_expiry.len()), (1, 1));
        tokens.clear();
        assert_eq!(tokens.user(19, "c.3", false), None);
    }

    #[test]
    fn a_token_names_its_entry() {
        assert_eq!(index("abc.17"), Some(17));
        assert_eq!(index("header.claims.signature"), None);
        assert_eq!(index("abc"), None);
    }
}
