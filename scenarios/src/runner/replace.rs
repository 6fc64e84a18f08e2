//! Replacing a member whose machine is gone: it is removed, and a spare node
//! joins with an empty disk, under a new id.

use squall_api::pb::{self, Member};
use squall_api::{ClusterRequest, ClusterResponse};
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::{SimClient, World};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// The pause after something did not work, in nanoseconds.
const SOON: u64 = 50_000_000;

/// Who replaces members.
#[derive(Clone)]
pub(super) struct Replacer {
    world: World,
    limit: Duration,
    /// The number of the next client.
    next: Arc<AtomicU32>,
    /// Nobody is replaced any more.
    done: Arc<AtomicBool>,
}

impl Replacer {
    /// Its clients have the numbers from `first` on.
    pub(super) fn new(world: World, first: u32, limit: Duration) -> Replacer {
        Replacer {
            world,
            limit,
            next: Arc::new(AtomicU32::new(first)),
            done: Arc::default(),
        }
    }

    /// Replaces `gone`, which are down for good.
    pub(super) fn replace(&self, gone: Vec<u64>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let replacement = Replacement {
            client: self.world.client(number),
            member: self.world.next_member(gone.first().copied().unwrap_or(0)),
            by: self.clone(),
        };
        self.world.spawn(replacement.run(gone));
    }

    /// Leaves it at what has been done.
    pub(super) fn stop(&self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

struct Replacement {
    by: Replacer,
    client: SimClient,
    /// Who is asked.
    member: u64,
}

impl Replacement {
    async fn run(mut self, gone: Vec<u64>) {
        let mut usual = None;
        for gone in gone {
            while let Some(members) = self.list().await {
                let wanted = *usual.get_or_insert(members.len());
                let request = if members.iter().any(|member| member.id == gone) {
                    ClusterRequest::MemberRemove(pb::MemberRemoveRequest { id: gone })
                } else if members.len() < wanted {
                    ClusterRequest::MemberAdd(pb::MemberAddRequest {
                        peer_ur_ls: vec![format!("http://instead-of-{gone}:2380")],
                        is_learner: false,
                    })
                } else {
                    break;
                };
                self.ask(request).await;
            }
        }
    }

    /// The members now; none if nobody is to be replaced any more.
    async fn list(&mut self) -> Option<Vec<Member>> {
        loop {
            if self.by.done.load(Ordering::Relaxed) {
                return None;
            }
            let list = pb::MemberListRequest { linearizable: true };
            if let Some(answer) = self.ask(ClusterRequest::MemberList(list)).await {
                return Some(answer.members().to_vec());
            }
        }
    }

    /// Asks a member; if it has no answer, another one is asked the next time.
    async fn ask(&mut self, request: ClusterRequest) -> Option<ClusterResponse> {
        let call = Call::Cluster(request);
        match self.client.call(self.member, call, self.by.limit).await {
            Outcome::Ok(Ret::Cluster(answer)) => Some(answer),
            _ => {
                self.by.world.sleep(SOON).await;
                self.member = self.by.world.next_member(self.member);
                None
            }
        }
    }
}
