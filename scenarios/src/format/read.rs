//! From a document to a [`Scenario`]: one function per table.

use super::document::{Document, Entry, Node, Problem, Value};
use super::fields::{Fields, Read, unknown, wrong_kind};
use super::{
    After, AuthLoad, CheckSpec, ClockConfig, ClusterConfig, Damage, DiskConfig, Elections, Expect,
    Fault, Keys, LinkConfig, Locks, Mix, Operator, Ratio, SCHEMA, Scenario, Sessions, Size, Skew,
    Upkeep, WatchLoad, Workload, fault,
};
use squall_checkers::budget::Budget;

/// Reads everything, and says everything that is wrong.
pub(super) fn scenario(doc: &Document) -> Result<Scenario, Vec<Problem>> {
    const KEYS: &[&str] = &[
        "schema", "name", "about", "tags", "cluster", "workload", "fault", "check", "expect",
    ];
    let fields = Fields::open(&doc.root, "a scenario", KEYS).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    schema(&fields).map_err(|problem| vec![problem])?;
    let name = keep(&mut problems, name(&fields));
    let about = keep(&mut problems, fields.required("about"));
    let tags = keep(&mut problems, fields.or("tags", Vec::new()));
    let cluster = keep(&mut problems, cluster(fields.entry("cluster")));
    let workload = keep(&mut problems, workload(fields.entry("workload")));
    let faults = list(&mut problems, fields.entry("fault"), "fault", fault::read);
    let checks = list(&mut problems, fields.entry("check"), "check", check);
    let expects = list(&mut problems, fields.entry("expect"), "expect", expect);
    let (Some(name), Some(about), Some(tags), Some(cluster), Some(workload)) =
        (name, about, tags, cluster, workload)
    else {
        return Err(problems);
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Scenario {
        name,
        about,
        tags,
        cluster,
        workload,
        faults: label(faults),
        checks: if checks.is_empty() {
            CheckSpec::all()
        } else {
            checks
        },
        expects,
    })
}

fn keep<T>(problems: &mut Vec<Problem>, read: Result<T, Problem>) -> Option<T> {
    read.map_err(|problem| problems.push(problem)).ok()
}

/// The tables `[[key]]`.
fn list<T>(
    problems: &mut Vec<Problem>,
    entry: Option<&Entry>,
    key: &str,
    read: fn(&Node) -> Result<T, Problem>,
) -> Vec<T> {
    let Some(entry) = entry else {
        return Vec::new();
    };
    let Value::Array(nodes) = &entry.node.value else {
        let message = format!("`{key}` is {}", entry.node.value.kind());
        let expected = format!("expected tables, each headed [[{key}]]");
        problems.push(Problem::new(&entry.place, message, expected));
        return Vec::new();
    };
    nodes
        .iter()
        .filter_map(|node| keep(problems, read(node)))
        .collect()
}

fn schema(fields: &Fields<'_>) -> Result<(), Problem> {
    let Some(found) = fields.optional::<i64>("schema")? else {
        let missing = fields.missing("schema");
        return Err(missing.note(format!("a scenario begins with: schema = {SCHEMA}")));
    };
    let place = &fields.entry("schema").expect("it was just read").node.place;
    match found {
        SCHEMA => Ok(()),
        ..=0 => Err(Problem::new(
            place,
            format!("there is no schema {found}"),
            format!("expected {SCHEMA}"),
        )),
        _ => Err(Problem::new(
            place,
            format!("schema {found} is newer than this build reads"),
            format!("this build reads {SCHEMA}; use a newer squall"),
        )),
    }
}

fn name(fields: &Fields<'_>) -> Result<String, Problem> {
    let name: String = fields.required("name")?;
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(legal) || name.starts_with('-') {
        // It becomes a directory's name and half of `name@seed`.
        let place = &fields.entry("name").expect("it was just read").node.place;
        let expected = "expected lower-case letters, digits and `-`";
        return Err(Problem::new(place, "this name cannot be used", expected));
    }
    Ok(name)
}

fn cluster(entry: Option<&Entry>) -> Result<ClusterConfig, Problem> {
    const KEYS: &[&str] = &[
        "nodes",
        "spares",
        "version",
        "election_timeout",
        "heartbeat",
        "read_lease",
        "request_timeout",
        "lease_checkpoint",
        "corrupt_check",
        "auth_token_ttl",
        "max_append",
        "snapshot_entries",
        "snapshot_chunk",
        "catch_up_entries",
        "wal_segment",
        "backend_commit_interval",
        "backend_commit_entries",
        "watch_window",
        "watch_batch",
        "watch_progress",
        "quota",
        "damage",
        "link",
        "disk",
        "clock",
    ];
    let default = ClusterConfig::default();
    let Some(entry) = entry else {
        return Ok(default);
    };
    let fields = Fields::open(&entry.node, "`cluster`", KEYS)?;
    Ok(ClusterConfig {
        nodes: fields.or("nodes", default.nodes)?,
        spares: fields.or("spares", default.spares)?,
        version: fields.or("version", default.version)?,
        election_timeout: fields.or("election_timeout", default.election_timeout)?,
        heartbeat: fields.or("heartbeat", default.heartbeat)?,
        read_lease: fields.or("read_lease", default.read_lease)?,
        request_timeout: fields.or("request_timeout", default.request_timeout)?,
        lease_checkpoint: fields.or("lease_checkpoint", default.lease_checkpoint)?,
        corrupt_check: fields.or("corrupt_check", default.corrupt_check)?,
        auth_token_ttl: fields.or("auth_token_ttl", default.auth_token_ttl)?,
        max_append: fields.or("max_append", default.max_append)?,
        snapshot_entries: fields.or("snapshot_entries", default.snapshot_entries)?,
        snapshot_chunk: fields.or("snapshot_chunk", default.snapshot_chunk)?,
        catch_up_entries: fields.or("catch_up_entries", default.catch_up_entries)?,
        wal_segment: fields.or("wal_segment", default.wal_segment)?,
        backend_commit_interval: fields
            .or("backend_commit_interval", default.backend_commit_interval)?,
        backend_commit_entries: fields
            .or("backend_commit_entries", default.backend_commit_entries)?,
        watch_window: fields.or("watch_window", default.watch_window)?,
        watch_batch: fields.or("watch_batch", default.watch_batch)?,
        watch_progress: fields.or("watch_progress", default.watch_progress)?,
        quota: fields.or("quota", default.quota)?,
        damage: fields.or("damage", default.damage)?,
        link: fields.or("link", default.link)?,
        disk: fields.or("disk", default.disk)?,
        clock: fields.or("clock", default.clock)?,
    })
}

impl Read for Damage {
    fn read(node: &Node) -> Result<Damage, Problem> {
        let text = String::read(node)?;
        let found = Damage::ALL.into_iter().find(|damage| damage.name() == text);
        found.ok_or_else(|| {
            let place = node.place.part(&text, 0..text.len());
            unknown(
                "extent of damage",
                &text,
                "",
                &Damage::ALL.map(Damage::name),
                &place,
            )
        })
    }
}

impl Read for LinkConfig {
    fn read(node: &Node) -> Result<LinkConfig, Problem> {
        const KEYS: &[&str] = &["latency", "loss", "duplicate", "reorder"];
        let fields = Fields::open(node, "`cluster.link`", KEYS)?;
        let default = LinkConfig::default();
        Ok(LinkConfig {
            latency: fields.or("latency", default.latency)?,
            loss: fields.or("loss", default.loss)?,
            duplicate: fields.or("duplicate", default.duplicate)?,
            reorder: fields.or("reorder", default.reorder)?,
        })
    }
}

impl Read for DiskConfig {
    fn read(node: &Node) -> Result<DiskConfig, Problem> {
        let fields = Fields::open(node, "`cluster.disk`", &["write", "fsync"])?;
        let default = DiskConfig::default();
        Ok(DiskConfig {
            write: fields.or("write", default.write)?,
            fsync: fields.or("fsync", default.fsync)?,
        })
    }
}

impl Read for ClockConfig {
    fn read(node: &Node) -> Result<ClockConfig, Problem> {
        let fields = Fields::open(node, "`cluster.clock`", &["offset", "drift_ppm"])?;
        let default = ClockConfig::default();
        Ok(ClockConfig {
            offset: fields.or("offset", default.offset)?,
            drift_ppm: fields.or("drift_ppm", default.drift_ppm)?,
        })
    }
}

fn workload(entry: Option<&Entry>) -> Result<Workload, Problem> {
    const KEYS: &[&str] = &[
        "clients",
        "rate",
        "keys",
        "mix",
        "sessions",
        "locks",
        "elections",
        "operator",
        "auth",
        "value_size",
        "client_timeout",
        "run_for",
        "watch",
        "upkeep",
    ];
    let default = Workload::default();
    let Some(entry) = entry else {
        return Ok(default);
    };
    let fields = Fields::open(&entry.node, "`workload`", KEYS)?;
    Ok(Workload {
        clients: fields.or("clients", default.clients)?,
        rate: fields.or("rate", default.rate)?,
        keys: fields.or("keys", default.keys)?,
        mix: fields.or("mix", default.mix)?,
        sessions: fields.or("sessions", default.sessions)?,
        locks: fields.or("locks", default.locks)?,
        elections: fields.or("elections", default.elections)?,
        operator: fields.or("operator", default.operator)?,
        auth: fields.or("auth", default.auth)?,
        value_size: fields.or("value_size", default.value_size)?,
        client_timeout: fields.or("client_timeout", default.client_timeout)?,
        run_for: fields.or("run_for", default.run_for)?,
        watch: fields.or("watch", default.watch)?,
        upkeep: fields.or("upkeep", default.upkeep)?,
    })
}

impl Read for WatchLoad {
    fn read(node: &Node) -> Result<WatchLoad, Problem> {
        const KEYS: &[&str] = &["watchers", "controllers", "slow"];
        let fields = Fields::open(node, "`workload.watch`", KEYS)?;
        Ok(WatchLoad {
            watchers: fields.or("watchers", 0)?,
            controllers: fields.or("controllers", 0)?,
            slow: fields.or("slow", Ratio::default())?,
        })
    }
}

impl Read for Upkeep {
    fn read(node: &Node) -> Result<Upkeep, Problem> {
        const KEYS: &[&str] = &["compact_every", "defragment_every", "make_room_every"];
        let fields = Fields::open(node, "`workload.upkeep`", KEYS)?;
        Ok(Upkeep {
            compact_every: fields.optional("compact_every")?,
            defragment_every: fields.optional("defragment_every")?,
            make_room_every: fields.optional("make_room_every")?,
        })
    }
}

impl Read for AuthLoad {
    fn read(node: &Node) -> Result<AuthLoad, Problem> {
        let fields = Fields::open(node, "`workload.auth`", &["users", "change_every"])?;
        let default = AuthLoad::default();
        Ok(AuthLoad {
            users: fields.or("users", default.users)?,
            change_every: fields.or("change_every", default.change_every)?,
        })
    }
}

impl Read for Sessions {
    fn read(node: &Node) -> Result<Sessions, Problem> {
        let fields = Fields::open(node, "`workload.sessions`", &["count", "ttl"])?;
        let default = Sessions::default();
        Ok(Sessions {
            count: fields.or("count", default.count)?,
            ttl: fields.or("ttl", default.ttl)?,
        })
    }
}

impl Read for Locks {
    fn read(node: &Node) -> Result<Locks, Problem> {
        let keys = &["count", "names", "fenced", "ttl"];
        let fields = Fields::open(node, "`workload.locks`", keys)?;
        let default = Locks::default();
        Ok(Locks {
            count: fields.or("count", default.count)?,
            names: fields.or("names", default.names)?,
            fenced: fields.or("fenced", default.fenced)?,
            ttl: fields.or("ttl", default.ttl)?,
        })
    }
}

impl Read for Elections {
    fn read(node: &Node) -> Result<Elections, Problem> {
        let keys = &["candidates", "observers", "ttl"];
        let fields = Fields::open(node, "`workload.elections`", keys)?;
        let default = Elections::default();
        Ok(Elections {
            candidates: fields.or("candidates", default.candidates)?,
            observers: fields.or("observers", default.observers)?,
            ttl: fields.or("ttl", default.ttl)?,
        })
    }
}

impl Read for Operator {
    fn read(node: &Node) -> Result<Operator, Problem> {
        const KEYS: &[&str] = &["changes", "transfers", "downgrade_at"];
        let fields = Fields::open(node, "`workload.operator`", KEYS)?;
        Ok(Operator {
            changes: fields.optional("changes")?,
            transfers: fields.optional("transfers")?,
            downgrade_at: fields.optional("downgrade_at")?,
        })
    }
}

impl Read for Keys {
    fn read(node: &Node) -> Result<Keys, Problem> {
        let fields = Fields::open(node, "`workload.keys`", &["count", "skew"])?;
        let default = Keys::default();
        Ok(Keys {
            count: fields.or("count", default.count)?,
            skew: fields.or("skew", default.skew)?,
        })
    }
}

impl Read for Skew {
    fn read(node: &Node) -> Result<Skew, Problem> {
        let expected = "\"uniform\", or \"zipf(s)\" with an exponent such as 1.1";
        let Value::Text(text) = &node.value else {
            return Err(wrong_kind(node, expected));
        };
        if text == "uniform" {
            return Ok(Skew::Uniform);
        }
        let exponent = text.strip_prefix("zipf(").and_then(|s| s.strip_suffix(')'));
        let exponent = exponent.and_then(|s| s.trim().parse::<f64>().ok());
        match exponent.filter(|s| (0.0..=10.0).contains(s)) {
            Some(s) => Ok(Skew::Zipf(s)),
            None => Err(Problem::new(
                &node.place,
                format!("unknown skew `{text}`"),
                format!("expected {expected}, from 0 to 10"),
            )),
        }
    }
}

impl Read for Mix {
    /// What a mix does not name has weight 0.
    fn read(node: &Node) -> Result<Mix, Problem> {
        const KEYS: &[&str] = &[
            "put",
            "get",
            "cas",
            "txn",
            "delete",
            "delete_range",
            "range",
            "serializable_get",
            "past_get",
            "varied",
        ];
        let fields = Fields::open(node, "`workload.mix`", KEYS)?;
        Ok(Mix {
            put: fields.or("put", 0)?,
            get: fields.or("get", 0)?,
            cas: fields.or("cas", 0)?,
            txn: fields.or("txn", 0)?,
            delete: fields.or("delete", 0)?,
            delete_range: fields.or("delete_range", 0)?,
            range: fields.or("range", 0)?,
            serializable_get: fields.or("serializable_get", 0)?,
            past_get: fields.or("past_get", 0)?,
            varied: fields.or("varied", 0)?,
        })
    }
}

/// Gives every fault a label of its own: its draws are keyed by it.
fn label(mut faults: Vec<Fault>) -> Vec<Fault> {
    for i in 0..faults.len() {
        if !faults[i].label.is_empty() {
            continue;
        }
        let base = faults[i].action.to_string();
        let taken = |label: &str| faults.iter().any(|fault| fault.label == label);
        let mut label = base.clone();
        let mut n = 2;
        while taken(&label) {
            label = format!("{base} ({n})");
            n += 1;
        }
        faults[i].label = label;
    }
    faults
}

fn check(node: &Node) -> Result<CheckSpec, Problem> {
    const KEYS: &[&str] = &["linearizable", "raft", "durable", "replicas_agree", "watch"];
    let fields = Fields::open(node, "`check`", KEYS)?;
    let entry = only_entry(&fields, "check")?;
    match entry.key.as_str() {
        "linearizable" if matches!(entry.node.value, Value::Boolean(true)) => {
            Ok(CheckSpec::Linearizable {
                budget: CheckSpec::BUDGET,
            })
        }
        "linearizable" => {
            let fields = Fields::open(&entry.node, "`linearizable`", &["budget"])?;
            Ok(CheckSpec::Linearizable {
                budget: fields.or("budget", CheckSpec::BUDGET)?,
            })
        }
        "raft" if matches!(entry.node.value, Value::Boolean(true)) => Ok(CheckSpec::Raft),
        "raft" => {
            let fields = Fields::open(&entry.node, "`raft`", &["invariants"])?;
            let which: String = fields.or("invariants", "all".into())?;
            if which != "all" {
                let place = &fields
                    .entry("invariants")
                    .expect("it is not the default")
                    .node
                    .place;
                return Err(unknown("set of invariants", &which, "", &["all"], place));
            }
            Ok(CheckSpec::Raft)
        }
        "durable" => switched_on(&fields, entry, CheckSpec::Durable),
        "watch" => switched_on(&fields, entry, CheckSpec::Watch),
        _ => switched_on(&fields, entry, CheckSpec::ReplicasAgree),
    }
}

fn switched_on(fields: &Fields<'_>, entry: &Entry, check: CheckSpec) -> Result<CheckSpec, Problem> {
    match fields.required::<bool>(&entry.key)? {
        true => Ok(check),
        false => Err(Problem::new(
            &entry.node.place,
            "a check that is named is made",
            "expected true; leave the [[check]] out instead",
        )),
    }
}

fn expect(node: &Node) -> Result<Expect, Problem> {
    let fields = Fields::open(node, "`expect`", &["recovers", "load", "budget"])?;
    let entry = only_entry(&fields, "expect")?;
    if entry.key == "budget" {
        return budget(&entry.node).map(Expect::Budget);
    }
    if entry.key == "load" {
        let fields = Fields::open(&entry.node, "`load`", &["ok", "keys", "transactions"])?;
        return Ok(Expect::Load {
            ok: fields.required("ok")?,
            keys: fields.or("keys", u64::MAX)?,
            transactions: fields.or("transactions", Ratio::default())?,
        });
    }
    let fields = Fields::open(&entry.node, "`recovers`", &["after", "within"])?;
    let after: String = fields.or("after", "every fault".into())?;
    Ok(Expect::Recovers {
        after: match after.as_str() {
            "every fault" => After::EveryFault,
            _ => After::Label(after),
        },
        within: fields.required("within")?,
    })
}

fn budget(node: &Node) -> Result<Budget, Problem> {
    const LINES: &[&str] = &[
        "messages_per_commit",
        "sent_per_commit",
        "syncs_per_commit",
        "written_per_commit",
        "log",
        "snapshot",
        "unread",
    ];
    let fields = Fields::open(node, "`budget`", LINES)?;
    let bytes = |key| Ok(fields.optional::<Size>(key)?.map(Size::bytes));
    let amount = |key| match fields.optional::<f64>(key)? {
        Some(amount) if !(amount >= 0.0 && amount.is_finite()) => {
            let place = &fields.entry(key).expect("it was just read").node.place;
            let expected = "expected 0 or more for each commit, such as 3.5";
            Err(Problem::new(
                place,
                format!("`{key}` is {amount}"),
                expected,
            ))
        }
        amount => Ok(amount),
    };
    let budget = Budget {
        messages_per_commit: amount("messages_per_commit")?,
        sent_per_commit: bytes("sent_per_commit")?,
        syncs_per_commit: amount("syncs_per_commit")?,
        written_per_commit: bytes("written_per_commit")?,
        log: bytes("log")?,
        snapshot: bytes("snapshot")?,
        unread: fields.optional("unread")?,
    };
    match budget == Budget::default() {
        true => Err(Problem::new(
            &node.place,
            "this budget bounds nothing",
            format!("expected one or more of {}", LINES.join(", ")),
        )),
        false => Ok(budget),
    }
}

/// The one key of a table that has to have exactly one.
fn only_entry<'a>(fields: &Fields<'a>, table: &str) -> Result<&'a Entry, Problem> {
    match fields.entries() {
        [entry] => Ok(entry),
        [] => Err(Problem::new(
            &fields.node().place,
            format!("this [[{table}]] is empty"),
            format!("expected one of {}", fields.known().join(", ")),
        )),
        [_, second, ..] => Err(Problem::new(
            &second.place,
            format!("this [[{table}]] names a second thing"),
            format!("expected one key; write two [[{table}]] tables"),
        )),
    }
}
