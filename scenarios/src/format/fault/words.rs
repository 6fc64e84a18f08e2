//! The vocabulary: every action of a `[[fault]]`, and its fields.

/// Every action, and the fields of its table.
pub const ACTIONS: &[(&str, &[&str])] = &[
    (
        "partition",
        &[
            "from", "to", "isolate", "halves", "split", "bridge", "ring", "partial", "flap",
        ],
    ),
    (
        "link",
        &[
            "from",
            "to",
            "both_ways",
            "delay",
            "loss",
            "duplicate",
            "reorder",
            "reorder_by",
            "corrupt",
            "bandwidth",
            "queue",
        ],
    ),
    ("clog", &["from", "to", "both_ways"]),
    ("hold", &["from", "to", "both_ways"]),
    ("client_link", &["node", "way", "delay"]),
    ("client_cut", &["node", "way"]),
    ("client_reset", &["node"]),
    ("fsync_stall", &["node", "delay"]),
    ("slow_disk", &["node", "factor", "delay"]),
    ("throttle", &["node", "rate"]),
    ("write_error", &["node", "region", "probability"]),
    ("fsync_error", &["node", "region", "probability"]),
    ("fsync_lie", &["node", "region", "probability"]),
    ("disk_full", &["node", "room"]),
    ("bit_rot", &["node", "region", "sectors"]),
    ("read_flip", &["node", "region", "probability"]),
    ("latent_error", &["node", "region", "sectors"]),
    ("misdirected_write", &["node", "region", "probability"]),
    ("lost_name", &["node", "region", "names"]),
    ("pause", &["node"]),
    ("slow_cpu", &["node", "factor"]),
    ("stop", &["node", "restart_after"]),
    ("crash", &["node", "disk", "restart_after", "again_at"]),
    ("wipe", &["node", "restart_after"]),
    ("replace", &["node"]),
    ("upgrade", &["node", "to", "restart_after"]),
    ("downgrade", &["node", "to", "restart_after"]),
    ("clock_skew", &["node", "wall_step", "drift_ppm"]),
    ("clock_freeze", &["node"]),
    ("clock_step", &["node", "by"]),
];

/// The fields of a `[[fault]]` besides its action.
pub const FAULT_FIELDS: [&str; 4] = ["at", "for", "label", "repeat"];

/// The keys that a `[[fault]]` may have.
pub(super) const KEYS: &[&str] = &{
    let mut keys = [""; FAULT_FIELDS.len() + ACTIONS.len()];
    let mut i = 0;
    while i < keys.len() {
        keys[i] = match i.checked_sub(FAULT_FIELDS.len()) {
            None => FAULT_FIELDS[i],
            Some(action) => ACTIONS[action].0,
        };
        i += 1;
    }
    keys
};

/// The fields of an action.
pub(super) fn fields_of(action: &str) -> Option<&'static [&'static str]> {
    let known = ACTIONS.iter().find(|(key, _)| *key == action);
    known.map(|(_, fields)| *fields)
}
