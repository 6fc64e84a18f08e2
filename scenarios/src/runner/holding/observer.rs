//! A client that wants to know who leads.

use super::{Owner, SECOND, election};
use squall_api::pb::v3electionpb::LeaderRequest;
use squall_api::{ElectionRequest, Metadata};
use squall_record::Call;

pub(super) async fn run(mut owner: Owner) {
    while owner.caller.wait(SECOND / 50).await.is_ok() {
        let observe = ElectionRequest::Observe(LeaderRequest { name: election() });
        let meta = Metadata {
            require_leader: owner.number.is_multiple_of(2),
            ..Metadata::default()
        };
        let mut stream =
            owner
                .caller
                .target
                .stream(owner.caller.member, meta, Call::Election(observe));
        let mut draw = owner.draw();
        let until = owner.caller.world.now() + draw.between(SECOND, 8 * SECOND);
        let until = until.min(owner.caller.end);
        let mut has_ended = false;
        while owner.caller.world.now() < until {
            match stream.next(until).await {
                Some(Ok(_)) if draw.one_in(8) => {
                    let nap = draw
                        .below(SECOND)
                        .min(until.saturating_sub(owner.caller.world.now()));
                    owner.caller.world.sleep(nap).await;
                }
                Some(Ok(_)) | None => {}
                Some(Err(_)) => {
                    has_ended = true;
                    break;
                }
            }
        }
        if !has_ended {
            stream.close();
        }
        owner.caller.move_on();
    }
}
