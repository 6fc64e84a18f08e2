//! One member on a disk that fails: what it can survive it survives, what it
//! cannot ends it with a reason, and no answer is ever wrong. Each planted bug
//! undoes one of the defences, and is caught by the same story.

use bytes::Bytes;
use squall_api::{Bug, Bugs, Config, pb};
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::{Keep, MemberSetup, Panicked, Setup, SimClient, World, simulate, store};
use squall_sim::{ClockParams, DiskFault, DiskParams, LinkParams, PowerLoss, Region};
use std::time::Duration;

const MS: u64 = 1_000_000;

/// What is wrong, from when to when, and how the power goes afterwards.
#[derive(Clone)]
struct Trouble {
    fault: Fault,
    /// Whether the member runs without the fault again before power is lost.
    healed: bool,
    power: PowerLoss,
}

#[derive(Clone)]
enum Fault {
    Disk(DiskFault),
    /// The disk has so many bytes left.
    Room(u64),
}

/// What came of it.
#[derive(Debug, Default)]
struct Report {
    /// Why the process ended while the fault was there, if it did.
    ended: Option<String>,
    /// Why it did not start on the disk that was still full.
    refused: Option<String>,
    /// Why it is not there at the end, if it is not.
    absent: Option<String>,
    /// Acknowledged writes, those of them that are gone, and those that read as
    /// something else.
    acked: Vec<u64>,
    lost: Vec<u64>,
    wrong: Vec<u64>,
}

impl Report {
    fn is_whole(&self) -> bool {
        self.absent.is_none() && self.lost.is_empty() && self.wrong.is_empty()
    }
}

struct Lab {
    world: World,
    client: SimClient,
    next: u64,
    report: Report,
}

fn key(n: u64) -> Bytes {
    format!("key-{n:04}").into()
}

fn value(n: u64) -> Bytes {
    format!("value of {n}: {}", "x".repeat(40 + (n as usize * 37) % 300)).into()
}

impl Lab {
    async fn start(&mut self) {
        self.world.start(1);
        self.world.sleep(1_500 * MS).await;
    }

    async fn put(&mut self, count: u64) {
        for _ in 0..count {
            let n = self.next;
            self.next += 1;
            let put = Call::Put(pb::PutRequest {
                key: key(n),
                value: value(n),
                ..Default::default()
            });
            let limit = Duration::from_millis(200);
            if let Outcome::Ok(_) = self.client.call(1, put, limit).await {
                self.report.acked.push(n);
            }
            self.world.sleep(15 * MS).await;
            if !self.world.is_up(1) {
                return;
            }
        }
    }

    async fn read_all(&mut self) {
        for n in self.report.acked.clone() {
            let get = Call::Range(pb::RangeRequest {
                key: key(n),
                ..Default::default()
            });
            let limit = Duration::from_millis(500);
            match self.client.call(1, get, limit).await {
                Outcome::Ok(Ret::Range(found)) => match found.kvs.first() {
                    None => self.report.lost.push(n),
                    Some(kv) if kv.value != value(n) => self.report.wrong.push(n),
                    Some(_) => {}
                },
                _ if !self.world.is_up(1) => break,
                other => panic!("the member runs, and says {other:?}"),
            }
        }
        if !self.world.is_up(1) {
            self.report.absent = Some(self.world.ended(1).unwrap_or_default());
        }
    }
}

fn run(seed: u64, bugs: Bugs, trouble: &Trouble) -> Result<Report, Panicked> {
    let config = Config {
        election_timeout: 100 * MS,
        heartbeat: 20 * MS,
        backend_commit_interval: 40 * MS,
        wal_segment_bytes: 6 << 10,
        backend_cache_bytes: 0,
        ..Config::new(7, 1, vec![1])
    };
    let link = LinkParams {
        latency: (MS..=MS).into(),
        loss: 0.0,
        duplicate: 0.0,
        reorder: false,
    };
    let setup = Setup {
        seed,
        members: vec![MemberSetup {
            config,
            clock: ClockParams {
                wall_offset_ns: 0,
                drift_ppm: 0.0,
            },
            open: store(),
        }],
        disk: DiskParams {
            read: 0..=1_000,
            write: 10_000..=50_000,
            fsync: 500_000..=2_000_000,
        },
        link: link.clone(),
        client_link: link,
        step_cost: 0,
        clients: 1,
        bugs,
        keep: Keep::Notable,
        trace: None,
    };
    let trouble = trouble.clone();
    let simulated = simulate(setup, Box::new(()), move |world| async move {
        let mut lab = Lab {
            client: world.client(0),
            world: world.clone(),
            next: 0,
            report: Report::default(),
        };
        lab.start().await;
        lab.put(30).await;
        let what = match &trouble.fault {
            Fault::Disk(fault) => fault.clone(),
            Fault::Room(bytes) => DiskFault::Full {
                capacity: world.allocated(1) + bytes,
            },
        };
        world.spoil(1, 1, what);
        lab.put(25).await;
        if !world.is_up(1) {
            lab.report.ended = world.ended(1);
            if let Fault::Room(_) = trouble.fault {
                lab.start().await;
                lab.report.refused = world.ended(1).filter(|_| !world.is_up(1));
            }
        }
        if trouble.healed {
            world.unspoil(1, 1);
            lab.start().await;
            lab.put(20).await;
            world.sleep(100 * MS).await;
        }
        world.crash(1, trouble.power);
        world.sleep(20 * MS).await;
        lab.start().await;
        lab.read_all().await;
        lab.report
    })?;
    Ok(simulated.value.expect("nobody ends it"))
}

fn without_bugs(seed: u64, trouble: &Trouble) -> Report {
    run(seed, Bugs::NONE, trouble).unwrap_or_else(|e| panic!("seed {seed}: {}", e.message))
}

/// The first of 60 seeds in which a planted bug does harm.
fn caught(bug: Bug, trouble: &Trouble, harm: impl Fn(&Result<Report, Panicked>) -> bool) -> u64 {
    let seed = (1..=60).find(|seed| harm(&run(*seed, Bugs::NONE.with(bug), trouble)));
    let seed = seed.unwrap_or_else(|| panic!("{} did no harm in 60 seeds", bug.name()));
    println!("{}: seed {seed}", bug.name());
    seed
}

fn is_broken(result: &Result<Report, Panicked>) -> bool {
    result.as_ref().map_or(true, |report| !report.is_whole())
}

fn failing_fsync(region: Region, probability: f64) -> Trouble {
    Trouble {
        fault: Fault::Disk(DiskFault::FsyncError {
            region,
            probability,
        }),
        healed: true,
        power: PowerLoss::Lost,
    }
}

#[test]
fn a_failed_fsync_of_the_database_ends_the_member_and_the_next_one_trusts_no_page_of_it() {
    let trouble = failing_fsync(Region::Db, 1.0);
    for seed in 1..=20 {
        let report = without_bugs(seed, &trouble);
        let why = report.ended.as_deref().unwrap_or("it went on");
        assert!(why.contains("fsync of db/state.redb"), "seed {seed}: {why}");
        assert!(report.is_whole(), "seed {seed}: {report:?}");
    }
    caught(Bug::ReopenAfterFailedFsync, &trouble, is_broken);
}

#[test]
fn a_failed_fsync_of_the_log_ends_the_member_and_nothing_acknowledged_is_lost() {
    let trouble = failing_fsync(Region::Wal, 0.3);
    for seed in 1..=20 {
        let report = without_bugs(seed, &trouble);
        let why = report.ended.as_deref().unwrap_or("it went on");
        assert!(
            why.contains("fsync of") && why.contains("wal"),
            "seed {seed}: {why}"
        );
        assert!(report.is_whole(), "seed {seed}: {report:?}");
    }
    caught(Bug::IgnoreFailedFsync, &trouble, is_broken);
}

#[test]
fn a_full_disk_ends_the_member_which_keeps_its_promises_and_starts_once_there_is_room() {
    for room in [0, 4 << 10, 12 << 10, 40 << 10] {
        let trouble = Trouble {
            fault: Fault::Room(room),
            healed: true,
            power: PowerLoss::Lost,
        };
        for seed in 1..=8 {
            let report = without_bugs(seed, &trouble);
            for why in report.ended.iter().chain(&report.refused) {
                assert!(why.contains("no space left"), "{room}, seed {seed}: {why}");
            }
            if room == 0 {
                assert!(report.ended.is_some(), "seed {seed}: it went on");
                assert!(report.refused.is_some(), "seed {seed}: it started");
            }
            assert!(report.is_whole(), "{room}, seed {seed}: {report:?}");
        }
    }
    let trouble = Trouble {
        fault: Fault::Room(0),
        healed: true,
        power: PowerLoss::Lost,
    };
    caught(Bug::IgnoreFullDisk, &trouble, is_broken);
}

#[test]
fn rot_in_the_log_is_refused_with_its_place_and_what_to_do() {
    let trouble = Trouble {
        fault: Fault::Disk(DiskFault::BitRot {
            region: Region::Wal,
            sectors: 1,
        }),
        healed: false,
        power: PowerLoss::Lost,
    };
    let mut refused = 0;
    for seed in 1..=30 {
        let report = without_bugs(seed, &trouble);
        match &report.absent {
            Some(why) => {
                assert!(
                    why.contains("wal/") && why.contains("offset"),
                    "seed {seed}: {why}"
                );
                assert!(why.contains("replace the member"), "seed {seed}: {why}");
                refused += 1;
            }
            // Or it hit no byte of the log, and nothing is missed.
            None => assert!(report.is_whole(), "seed {seed}: {report:?}"),
        }
    }
    assert!(refused >= 5, "only {refused} of 30 met the rot");
}

#[test]
fn a_database_whose_disk_lied_is_an_error_and_no_panic() {
    let trouble = Trouble {
        fault: Fault::Disk(DiskFault::FsyncLie {
            region: Region::Db,
            probability: 0.7,
        }),
        healed: false,
        power: PowerLoss::Torn,
    };
    for seed in 1..=60 {
        let report = without_bugs(seed, &trouble);
        if let Some(why) = report.absent {
            assert!(why.contains("data is corrupt"), "seed {seed}: {why}");
        }
        assert!(report.wrong.is_empty(), "seed {seed}: {:?}", report.wrong);
    }
    caught(Bug::OpenUnguarded, &trouble, Result::is_err);
}

#[test]
fn a_database_that_reads_wrong_ends_the_member_before_it_answers_wrong() {
    let faults = [
        DiskFault::ReadFlip {
            region: Region::Db,
            probability: 0.02,
        },
        DiskFault::LatentError {
            region: Region::Db,
            sectors: 6,
        },
        DiskFault::BitRot {
            region: Region::Db,
            sectors: 6,
        },
        DiskFault::MisdirectedWrite {
            region: Region::Db,
            probability: 0.02,
        },
    ];
    for fault in faults {
        let trouble = Trouble {
            fault: Fault::Disk(fault.clone()),
            healed: false,
            power: PowerLoss::Kept,
        };
        let mut noticed = 0;
        for seed in 1..=25 {
            let report = without_bugs(seed, &trouble);
            assert!(
                report.wrong.is_empty(),
                "{fault:?}, seed {seed}: {report:?}"
            );
            assert!(report.lost.is_empty(), "{fault:?}, seed {seed}: {report:?}");
            noticed += u64::from(report.ended.is_some() || report.absent.is_some());
        }
        assert!(noticed > 0, "{fault:?} was never noticed");
    }
}
