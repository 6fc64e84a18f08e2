//! Client connections: which are open, and what is under way on them.

use std::collections::BTreeMap;

/// A client's connection to one incarnation of a member.
pub(crate) struct Conn {
    pub(crate) client: u32,
    pub(crate) node: u64,
    /// Counts the client's connections to this member: names it to the network.
    pub(crate) number: u64,
    pub(crate) open: bool,
    /// Calls that were sent on it and have not arrived.
    under_way: Vec<u64>,
    /// Calls that arrived on it and were not answered.
    pending: Vec<u64>,
}

/// All connections that something may still happen on. Invariant: a connection
/// that is not open has calls under way, so that no more are kept than clients
/// and members can use at a time.
#[derive(Default)]
pub(crate) struct Conns {
    /// How many were ever made: the next one's id.
    made: u64,
    all: BTreeMap<u64, Conn>,
    /// The open one of a client to a member.
    open: BTreeMap<(u32, u64), u64>,
    /// How many a client ever made to a member.
    numbers: BTreeMap<(u32, u64), u64>,
}

impl Conns {
    /// The connection of a client to a member: the open one, or a new one.
    pub(crate) fn connect(&mut self, client: u32, node: u64) -> u64 {
        if let Some(conn) = self.open.get(&(client, node)) {
            return *conn;
        }
        let made = self.numbers.entry((client, node)).or_default();
        let number = *made;
        *made += 1;
        let id = self.made;
        self.made += 1;
        let conn = Conn {
            client,
            node,
            number,
            open: true,
            under_way: Vec::new(),
            pending: Vec::new(),
        };
        self.all.insert(id, conn);
        self.open.insert((client, node), id);
        id
    }

    pub(crate) fn get(&self, conn: u64) -> Option<&Conn> {
        self.all.get(&conn)
    }

    /// A call leaves its client.
    pub(crate) fn sent(&mut self, conn: u64, op: u64) {
        self.known(conn).under_way.push(op);
    }

    /// A call reaches its member's machine.
    pub(crate) fn arrived(&mut self, conn: u64, op: u64) {
        self.known(conn).under_way.retain(|other| *other != op);
    }

    /// A process took a call in.
    pub(crate) fn taken_in(&mut self, conn: u64, op: u64) {
        self.known(conn).pending.push(op);
    }

    /// Whether anybody may hear what is said on a connection.
    pub(crate) fn is_open(&self, conn: u64) -> bool {
        self.all.get(&conn).is_some_and(|conn| conn.open)
    }

    /// A process answers a call. Says whether anybody may hear it.
    pub(crate) fn answered(&mut self, conn: u64, op: u64) -> bool {
        let Some(conn) = self.all.get_mut(&conn) else {
            return false;
        };
        conn.pending.retain(|other| *other != op);
        conn.open
    }

    /// The open connections that `of` is true of, oldest first.
    pub(crate) fn open(&self, of: impl Fn(&Conn) -> bool) -> Vec<u64> {
        let open = self.all.iter().filter(|(_, conn)| conn.open && of(conn));
        open.map(|(id, _)| *id).collect()
    }

    /// The calls on a connection that were not answered, as far as its member's
    /// machine knows them, or all of them.
    pub(crate) fn unanswered(&self, conn: u64, also_under_way: bool) -> Vec<u64> {
        let Some(conn) = self.all.get(&conn) else {
            return Vec::new();
        };
        let under_way = conn.under_way.iter().filter(|_| also_under_way);
        conn.pending.iter().chain(under_way).copied().collect()
    }

    /// Ends a connection.
    pub(crate) fn close(&mut self, conn: u64) {
        let state = self.known(conn);
        state.open = false;
        state.pending.clear();
        let key = (state.client, state.node);
        if self.open.get(&key) == Some(&conn) {
            self.open.remove(&key);
        }
    }

    /// Forgets a connection on which nothing can happen any more, and returns
    /// it.
    pub(crate) fn forget(&mut self, conn: u64) -> Option<Conn> {
        let state = self.all.get(&conn)?;
        if state.open || !state.under_way.is_empty() {
            return None;
        }
        self.all.remove(&conn)
    }

    fn known(&mut self, conn: u64) -> &mut Conn {
        self.all
            .get_mut(&conn)
            .expect("a connection is kept while calls are under way on it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_connection_is_kept_only_until_its_last_call_has_arrived() {
        let mut conns = Conns::default();
        for round in 0..1_000 {
            let conn = conns.connect(1, 2);
            assert_eq!((conn, conns.connect(1, 2)), (round, round));
            conns.sent(conn, 2 * round);
            conns.sent(conn, 2 * round + 1);
            conns.arrived(conn, 2 * round);
            conns.taken_in(conn, 2 * round);
            assert_eq!(conns.unanswered(conn, false), [2 * round]);
            assert_eq!(conns.unanswered(conn, true), [2 * round, 2 * round + 1]);
            conns.close(conn);
            assert!(conns.forget(conn).is_none());
            assert!(!conns.answered(conn, 2 * round));
            conns.arrived(conn, 2 * round + 1);
            assert_eq!(conns.forget(conn).expect("it can go").number, round);
            assert!(conns.all.is_empty() && conns.open.is_empty());
        }
    }
}
