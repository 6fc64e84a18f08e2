//! What faults did to messages, counted.

/// How many messages a fault did something to, by what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkHits {
    /// Lost because a direction was cut.
    pub cut: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Made to arrive twice.
    pub duplicated: u64,
    /// Made to fall behind.
    pub reordered: u64,
    /// Damaged.
    pub damaged: u64,
    /// Made later.
    pub delayed: u64,
    /// Made to wait for their turn on a narrow link, or dropped before it.
    pub narrowed: u64,
    /// Kept back by a clog or a hold.
    pub kept: u64,
    /// Made later, or kept back, on a client's connection.
    pub client: u64,
}

impl LinkHits {
    /// Adds other counts.
    pub fn add(&mut self, other: &LinkHits) {
        let LinkHits {
            cut,
            lost,
            duplicated,
            reordered,
            damaged,
            delayed,
            narrowed,
            kept,
            client,
        } = other;
        self.cut += cut;
        self.lost += lost;
        self.duplicated += duplicated;
        self.reordered += reordered;
        self.damaged += damaged;
        self.delayed += delayed;
        self.narrowed += narrowed;
        self.kept += kept;
        self.client += client;
    }
}
