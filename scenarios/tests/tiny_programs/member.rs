//! A member small enough to read: one lane beats, the other counts. What it sees
//! it writes into a diary.

use squall_api::{
    Effect, Effects, Env, Fatal, File, Input, Machine, Now, Open, OpenError, PeerBody, PeerFrame,
    RaftView, Request, Response, Role, VERSION, Version, View, eraftpb, pb,
};
use squall_sim::world::Lanes;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// From one heartbeat to the next, in nanoseconds.
pub(crate) const BEAT: u64 = 10_000_000;
/// Bytes of a sector.
const SECTOR: usize = 512;
/// Sectors of a record.
pub(crate) const RECORD: usize = 4;

/// What a member saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Saw {
    /// It found this in its file when it opened: `x` for a sector that is as it
    /// was written, `?` for one that is not, `!` for one that it cannot read.
    Opened(String),
    /// It was started as this release.
    RunsAs(Version),
    /// It sent its heartbeats.
    Beat,
    /// It heard another.
    Heard(u64),
    /// It was asked to stop.
    Stop,
}

/// What the members saw, in order: who, when by its own clocks, and what.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<(u64, Now, Saw)>>>);

impl Diary {
    fn note(&self, node: u64, now: Now, saw: Saw) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.push((node, now, saw));
    }

    /// What one member saw.
    pub(crate) fn of(&self, node: u64) -> Vec<(Now, Saw)> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = pages.iter().filter(|(who, _, _)| *who == node);
        own.map(|(_, now, saw)| (*now, saw.clone())).collect()
    }

    /// What one member found whenever it opened.
    pub(crate) fn opened(&self, node: u64) -> Vec<String> {
        let own = self.of(node).into_iter().filter_map(|(_, saw)| match saw {
            Saw::Opened(found) => Some(found),
            _ => None,
        });
        own.collect()
    }

    /// As what one member was started, each time.
    pub(crate) fn versions(&self, node: u64) -> Vec<String> {
        let own = self.of(node).into_iter().filter_map(|(_, saw)| match saw {
            Saw::RunsAs(version) => Some(version.short()),
            _ => None,
        });
        own.collect()
    }
}

/// Opens a member.
pub(crate) fn open(env: Env, now: Now, diary: Diary) -> Result<Lanes, OpenError> {
    let path = Path::new("wal/count");
    let file = match env.disk.open(path, Open::Existing) {
        Ok(file) => file,
        Err(_) => env.disk.open(path, Open::New)?,
    };
    env.disk.sync_dir(Path::new("wal"))?;
    let id = env.cfg.id;
    let mut count = Count {
        node: id,
        file,
        records: 0,
        diary: diary.clone(),
    };
    let found = count.sectors()?;
    diary.note(id, now, Saw::RunsAs(env.cfg.version));
    diary.note(id, now, Saw::Opened(found.clone()));
    // Like a log, it goes on behind the last whole record.
    count.records = found.bytes().take_while(|sector| *sector == b'x').count() / RECORD;
    count
        .file
        .set_len((count.records * RECORD * SECTOR) as u64)?;
    Ok(Lanes {
        raft: Box::new(Beat {
            node: id,
            cluster: env.cfg.cluster,
            others: env.cfg.voters.into_iter().filter(|to| *to != id).collect(),
            next: now.mono,
            shown: false,
            diary,
        }),
        apply: Box::new(count),
    })
}

/// Sends a heartbeat to all others every [`BEAT`]. Member 1 says that it leads.
struct Beat {
    node: u64,
    cluster: u64,
    others: Vec<u64>,
    next: u64,
    shown: bool,
    diary: Diary,
}

impl Machine for Beat {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        match input {
            Input::Stop => return Err(Fatal::Stopped),
            Input::Peer(frame) => self.diary.note(self.node, now, Saw::Heard(frame.from)),
            _ => {}
        }
        if !std::mem::replace(&mut self.shown, true) {
            fx.push(Effect::View(View::Raft(self.view())));
        }
        if now.mono >= self.next {
            self.next = now.mono + BEAT;
            self.diary.note(self.node, now, Saw::Beat);
            for &to in &self.others {
                let mut msg = eraftpb::Message::default();
                msg.set_msg_type(eraftpb::MessageType::MsgHeartbeat);
                (msg.from, msg.to) = (self.node, to);
                fx.push(Effect::Send(PeerFrame {
                    cluster: self.cluster,
                    from: self.node,
                    to,
                    version: VERSION,
                    body: PeerBody::Raft(Box::new(msg)),
                }));
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        Some(self.next)
    }
}

impl Beat {
    fn view(&self) -> RaftView {
        RaftView {
            term: 1,
            vote: 1,
            role: match self.node {
                1 => Role::Leader,
                _ => Role::Follower,
            },
            leader: 1,
            commit: 0,
            first_index: 1,
            last_index: 0,
            log: None,
            members: None,
        }
    }
}

/// Appends a record for each put, and answers with how many there are, when it
/// is durable. It reads all of them before, and gives up if one is wrong.
struct Count {
    node: u64,
    file: Arc<dyn File>,
    records: usize,
    diary: Diary,
}

impl Count {
    /// What is in the file, sector by sector.
    fn sectors(&self) -> io::Result<String> {
        let len = self.file.len()? as usize;
        let mut found = String::new();
        for at in 0..len / SECTOR {
            let mut bytes = [0; SECTOR];
            let read = self.file.read_at((at * SECTOR) as u64, &mut bytes);
            found.push(match read {
                Err(_) => '!',
                Ok(()) if bytes == [byte(at); SECTOR] => 'x',
                Ok(()) => '?',
            });
        }
        Ok(found)
    }

    fn put(&mut self) -> Result<Response, Fatal> {
        let found = self.sectors()?;
        if let Some(at) = found.find(['?', '!']) {
            return Err(Fatal::Corrupt(format!(
                "sector {at} is {}",
                &found[at..=at]
            )));
        }
        let first = self.records * RECORD;
        let record: Vec<u8> = (first..first + RECORD)
            .flat_map(|at| [byte(at); SECTOR])
            .collect();
        self.file.write_at((first * SECTOR) as u64, &record)?;
        self.file.sync()?;
        self.records += 1;
        let header = pb::ResponseHeader {
            revision: self.records as i64,
            ..Default::default()
        };
        Ok(Response::Put(pb::PutResponse {
            header: Some(header),
            prev_kv: None,
        }))
    }
}

/// What a sector is full of.
fn byte(sector: usize) -> u8 {
    (sector % 250) as u8 + 1
}

impl Machine for Count {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        match input {
            Input::Request { id, req, .. } if matches!(*req, Request::Put(_)) => {
                let result = Ok(self.put()?);
                fx.reply(id, result, true);
            }
            Input::Stop => {
                self.diary.note(self.node, now, Saw::Stop);
                return Err(Fatal::Stopped);
            }
            _ => {}
        }
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        None
    }
}
