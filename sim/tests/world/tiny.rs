//! Members small enough to read, and a world of three of them.

use bytes::Bytes;
use squall_api::eraftpb::{Message, MessageType};
use squall_api::{
    Bugs, Config, Effect, Effects, Env, Fatal, File, Input, Machine, Now, Open, PeerBody,
    PeerFrame, Request, Response, VERSION, pb,
};
use squall_record::{Call, Op, Outcome};
use squall_sim::world::{Keep, Lanes, MemberSetup, Setup, Simulated, World, simulate};
use squall_sim::{ClockParams, DiskParams, LinkParams};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const FSYNC: u64 = 10 * MS;
pub(crate) const LATENCY: u64 = 2 * MS;

pub(crate) struct Beat {
    cfg: Config,
    next: u64,
}

impl Machine for Beat {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        match input {
            Input::Stop => return Err(Fatal::Stopped),
            Input::Peer(_) => fx.mark("beat.heard"),
            _ => {}
        }
        if now.mono >= self.next {
            self.next = now.mono + 100 * MS;
            for &to in self.cfg.voters.iter().filter(|&&to| to != self.cfg.id) {
                let mut msg = Message::default();
                msg.set_msg_type(MessageType::MsgHeartbeat);
                (msg.from, msg.to) = (self.cfg.id, to);
                let (cluster, from) = (self.cfg.cluster, self.cfg.id);
                fx.push(Effect::Send(PeerFrame {
                    cluster,
                    from,
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

/// Counts the puts that are durable: one byte each.
pub(crate) struct Count {
    file: Arc<dyn File>,
    len: u64,
}

impl Count {
    fn write(&mut self, fx: &mut Effects) -> Result<(), Fatal> {
        self.file.write_at(self.len, b"x")?;
        fx.mark("count.written");
        self.file.sync()?;
        fx.mark("count.synced");
        self.len += 1;
        Ok(())
    }
}

/// The answer to a put that made the count `revision`.
pub(crate) fn answer(revision: u64) -> pb::PutResponse {
    let header = pb::ResponseHeader {
        revision: revision as i64,
        ..Default::default()
    };
    pb::PutResponse {
        header: Some(header),
        prev_kv: None,
    }
}

impl Machine for Count {
    fn step(&mut self, _: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        match input {
            Input::Request { id, req, .. } if matches!(*req, Request::Put(_)) => {
                self.write(fx)?;
                fx.reply(id, Ok(Response::Put(answer(self.len))), true);
            }
            Input::Closed(_) => fx.mark("count.closed"),
            Input::Stop => {
                // It leaves a last byte, to be counted like a put.
                self.write(fx)?;
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

pub(crate) fn open(env: Env, now: Now) -> Result<Lanes, squall_api::OpenError> {
    let path = Path::new("count");
    let file = match env.disk.open(path, Open::Existing) {
        Ok(file) => file,
        Err(_) => {
            let file = env.disk.open(path, Open::New)?;
            env.disk.sync_dir(Path::new(""))?;
            file
        }
    };
    let len = file.len()?;
    Ok(Lanes {
        raft: Box::new(Beat {
            cfg: env.cfg,
            next: now.mono,
        }),
        apply: Box::new(Count { file, len }),
    })
}

pub(crate) fn setup(seed: u64) -> Setup {
    let link = LinkParams {
        latency: (LATENCY..=LATENCY).into(),
        loss: 0.0,
        duplicate: 0.0,
        reorder: false,
    };
    let member = |id| MemberSetup {
        config: Config::new(1, id, vec![1, 2, 3]),
        clock: ClockParams {
            wall_offset_ns: 0,
            drift_ppm: 0.0,
        },
        open: Arc::new(open),
    };
    Setup {
        seed,
        members: (1..=3).map(member).collect(),
        disk: DiskParams {
            read: 0..=0,
            write: 0..=0,
            fsync: FSYNC..=FSYNC,
        },
        link: link.clone(),
        client_link: link,
        step_cost: 0,
        clients: 4,
        bugs: Bugs::NONE,
        keep: Keep::Everything,
        trace: None,
    }
}

pub(crate) fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    setup: Setup,
    story: impl FnOnce(World) -> F + Send + 'static,
) -> Simulated<T> {
    simulate(setup, Box::new(()), |world| async move {
        for node in 1..=3 {
            world.start(node);
        }
        world.sleep(50 * MS).await;
        story(world).await
    })
    .expect("nothing panics")
}

pub(crate) fn put() -> Call {
    Call::Put(pb::PutRequest {
        key: Bytes::from_static(b"k"),
        ..Default::default()
    })
}

pub(crate) fn revision(outcome: &Outcome) -> i64 {
    match outcome {
        Outcome::Ok(answer) => answer.header().expect("every answer has a header").revision,
        other => panic!("not ok: {other:?}"),
    }
}

pub(crate) fn took(op: &Op) -> u64 {
    op.ret.expect("it returned") - op.invoke
}

pub(crate) fn second() -> Duration {
    Duration::from_secs(1)
}
