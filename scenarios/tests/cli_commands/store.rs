//! `squall wal` and `squall snapshot`, on files that a member left.

use crate::support::{Said, passes, squall};
use squall_api::pb::{PutRequest, SnapshotRequest};
use squall_api::{
    Bugs, Config, Disk, Effect, Effects, Env, Input, LaneMsg, Machine, MaintenanceRequest,
    MaintenanceResponse, Metadata, NoStamp, Now, ReqId, Request, Response, SessionId,
};
use squall_ci::Exit;
use squall_server::FileDisk;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// A cluster of one member on real files, driven by hand: time passes when
/// nothing else is to be done.
struct Alone {
    lanes: [Box<dyn Machine>; 2],
    now: Now,
    synced: Receiver<Input>,
    backup: Vec<u8>,
    answered: u64,
}

const RAFT: usize = 0;
const APPLY: usize = 1;

impl Alone {
    fn open(dir: &Path, cluster: u64) -> Alone {
        let (send, synced) = channel();
        let disk = FileDisk::open(dir, move |id, result| {
            // Nobody listens any more once the member is dropped.
            let _ = send.send(Input::Synced { id, result });
        });
        let disk: Arc<dyn Disk> = Arc::new(disk.unwrap());
        let now = Now::default();
        let env = Env {
            disk,
            rng: rand_chacha::rand_core::SeedableRng::seed_from_u64(1),
            bugs: Bugs::NONE,
            cfg: Config::new(cluster, 1, vec![1]),
        };
        let (raft, apply) = squall_store::open(env, now).unwrap();
        Alone {
            lanes: [Box::new(raft), Box::new(apply)],
            now,
            synced,
            backup: Vec::new(),
            answered: 0,
        }
    }

    /// Gives an input to a lane, and all that follows.
    fn give(&mut self, lane: usize, input: Input) {
        let mut queue = VecDeque::from([(lane, input)]);
        while let Some((lane, input)) = queue.pop_front() {
            let mut fx = Effects::new(Arc::new(NoStamp));
            self.lanes[lane].step(self.now, input, &mut fx).unwrap();
            for (_, effect) in fx.drain() {
                match effect {
                    Effect::Lane(msg) => queue.push_back((1 - lane, lane_input(msg))),
                    Effect::Reply { result, .. } => self.answer(result.unwrap()),
                    _ => {}
                }
            }
            while let Ok(synced) = self.synced.try_recv() {
                queue.push_back((RAFT, synced));
            }
        }
    }

    fn answer(&mut self, response: Response) {
        self.answered += 1;
        if let Response::Maintenance(MaintenanceResponse::Snapshot(part)) = response {
            self.backup.extend(part.blob);
        }
    }

    /// Asks, and lets time pass until there is an answer.
    fn ask(&mut self, req: Request) {
        let before = self.answered;
        while self.answered == before {
            self.now.mono += 50_000_000;
            for lane in [RAFT, APPLY] {
                self.give(lane, Input::Deadline);
            }
            if let Ok(synced) = self
                .synced
                .recv_timeout(std::time::Duration::from_millis(20))
            {
                self.give(RAFT, synced);
            }
            let meta = Metadata::default();
            let (id, session) = (ReqId(self.now.mono), SessionId(1));
            let status = Request::Status(Default::default());
            let leads = self.asks_a_leader(status);
            if leads {
                let req = Box::new(req.clone());
                self.give(
                    APPLY,
                    Input::Request {
                        id,
                        session,
                        meta,
                        req,
                    },
                );
                while self.answered == before {
                    let synced = self.synced.recv().unwrap();
                    self.give(RAFT, synced);
                }
            }
        }
    }

    /// Whether the member leads.
    fn asks_a_leader(&mut self, req: Request) -> bool {
        let mut fx = Effects::new(Arc::new(NoStamp));
        let (id, session, meta) = (ReqId(0), SessionId(0), Metadata::default());
        let input = Input::Request {
            id,
            session,
            meta,
            req: Box::new(req),
        };
        self.lanes[APPLY].step(self.now, input, &mut fx).unwrap();
        fx.drain().any(|(_, effect)| {
            let Effect::Reply { result, .. } = effect else {
                return false;
            };
            matches!(*result, Ok(Response::Status(status)) if status.leader == 1)
        })
    }

    /// Stops it cleanly.
    fn stop(mut self) {
        for lane in [RAFT, APPLY] {
            let mut fx = Effects::new(Arc::new(NoStamp));
            self.lanes[lane]
                .step(self.now, Input::Stop, &mut fx)
                .unwrap_err();
        }
    }
}

fn lane_input(msg: LaneMsg) -> Input {
    Input::Lane(msg)
}

/// A data directory with a few keys in it, and a backup of it.
fn made(dir: &Path) -> (PathBuf, PathBuf) {
    let data = dir.join("data");
    let mut member = Alone::open(&data, 7);
    for key in ["a", "b"] {
        member.ask(Request::Put(PutRequest {
            key: key.into(),
            value: "v".into(),
            ..PutRequest::default()
        }));
    }
    let snapshot = MaintenanceRequest::Snapshot(SnapshotRequest {});
    member.ask(Request::Maintenance(snapshot));
    let backup = dir.join("backup");
    fs::write(&backup, &member.backup).unwrap();
    member.stop();
    (data, backup)
}

fn say(args: &[&str]) -> Said {
    squall(args, &passes)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_log_is_dumped_and_damage_is_named_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = made(dir.path());
    let said = say(&["wal", "dump", &text(&data)]);
    assert_eq!(said.exit, Exit::Pass, "{}{}", said.out, said.err);
    assert!(said.out.contains("Put(PutRequest"), "{}", said.out);
    assert!(
        said.out.ends_with("a member starts from this log\n"),
        "{}",
        said.out
    );

    let wal = data.join("wal");
    let segment = fs::read_dir(&wal).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&segment).unwrap();
    let part = say(&["wal", "dump", &text(&segment)]);
    assert_eq!(part.exit, Exit::Pass, "{}", part.err);

    fs::write(&segment, &whole[..whole.len() - 3]).unwrap();
    let torn = say(&["wal", "dump", &text(&wal)]);
    assert_eq!(torn.exit, Exit::Pass, "{}", torn.err);
    assert!(torn.out.contains("BAD RECORD"), "{}", torn.out);
    assert!(torn.out.contains("bytes off its end"), "{}", torn.out);

    let mut rotten = whole;
    rotten[20] ^= 1;
    fs::write(&segment, &rotten).unwrap();
    let said = say(&["wal", "dump", &text(&data)]);
    assert_eq!(said.exit, Exit::Violation);
    assert!(said.out.contains("bad record at offset 0"), "{}", said.out);
    assert!(said.out.contains("replace the member"), "{}", said.out);
    let json = say(&["wal", "dump", &text(&data), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["damaged"], 1);
}

#[test]
fn a_backup_is_shown_and_restored_into_a_new_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let (_, backup) = made(dir.path());
    let backup = text(&backup);
    let said = say(&["snapshot", "status", &backup]);
    assert_eq!(said.exit, Exit::Pass, "{}", said.err);
    assert!(said.out.contains("revision   3\n"), "{}", said.out);
    assert!(said.out.contains("changes    2\n"), "{}", said.out);

    let new = dir.path().join("new");
    let args = ["snapshot", "restore", &backup, "--data-dir", &text(&new)];
    let with = |more: &[&str]| say(&[&args[..], more].concat());
    let said = with(&["--cluster", "8", "--bump-revision", "100"]);
    assert_eq!(said.exit, Exit::Pass, "{}", said.err);
    let mut member = Alone::open(&new, 8);
    let snapshot = MaintenanceRequest::Snapshot(SnapshotRequest {});
    member.ask(Request::Maintenance(snapshot));
    let again = dir.path().join("again");
    fs::write(&again, &member.backup).unwrap();
    let said = say(&["snapshot", "status", &text(&again), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["revision"], 103);
    assert_eq!(json["cluster"], 8);
}

#[test]
fn what_cannot_be_read_or_restored_is_refused_before_anything_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = made(dir.path());
    let nothing = text(&dir.path().join("nothing"));
    let new = dir.path().join("new");
    let (new_dir, used) = (text(&new), text(&data));
    let damaged = dir.path().join("damaged");
    let mut bytes = fs::read(&backup).unwrap();
    bytes[40] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let (damaged, backup) = (text(&damaged), text(&backup));
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let to = |dir| ["--data-dir", dir];
    fn restore<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["snapshot", "restore", file], more].concat()
    }
    for (args, expected) in [
        (vec!["wal", "dump", &nothing], "no such file"),
        (vec!["wal", "dump", &text(&empty)], "there is no log"),
        (vec!["snapshot", "status", &nothing], "no such file"),
        (vec!["snapshot", "status", &damaged], "expected sha256"),
        (
            restore(&damaged, &[&to(&new_dir)[..], &["--cluster", "8"]].concat()),
            "expected sha256",
        ),
        (
            restore(&backup, &[&to(&used)[..], &["--cluster", "8"]].concat()),
            "is not empty",
        ),
        (
            restore(&backup, &[&to(&new_dir)[..], &["--cluster", "7"]].concat()),
            "choose another",
        ),
        (
            restore(
                &backup,
                &[&to(&new_dir)[..], &["--cluster", "8", "--voters", "2,3"]].concat(),
            ),
            "member 1 is not among the voters",
        ),
    ] {
        let said = say(&args);
        assert_eq!(said.exit, Exit::Usage, "{args:?}: {}", said.out);
        assert!(said.err.contains(expected), "{args:?}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{args:?}: {}", said.err);
    }
    assert!(!new.exists());
}
