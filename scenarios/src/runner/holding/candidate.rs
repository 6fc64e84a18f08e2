//! A client that wants to lead, and does what leaders do; now and then it is not
//! aware that it leads no more.

use super::{Over, Owner, SECOND, election};
use bytes::Bytes;
use squall_api::pb::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
};
use squall_api::{ElectionRequest, ElectionResponse};
use squall_record::{Call, Outcome, Ret};

pub(super) async fn run(mut owner: Owner) {
    while session(&mut owner).await.is_ok() {}
}

/// One lease, and what is done with it.
async fn session(owner: &mut Owner) -> Result<(), Over> {
    if !owner.begin().await? {
        return Ok(());
    }
    // Twice with one lease, at times: then there is an old term of office.
    let mut old = None;
    for _ in 0..2 {
        let Some(leader) = campaign(owner).await else {
            return Ok(());
        };
        let mut draw = owner.draw();
        for n in 0..draw.below(5) {
            match draw.below(8) {
                0 => {
                    let leader = LeaderRequest { name: election() };
                    owner
                        .caller
                        .ask(call(ElectionRequest::Leader(leader)))
                        .await;
                }
                1 => owner.keep_alive().await,
                2 if old.is_some() => drop(resign(owner, old.take()).await),
                _ => drop(proclaim(owner, leader.clone(), n).await),
            }
            let longest = match draw.one_in(6) {
                true => owner.granted + owner.granted / 2,
                false => SECOND / 4,
            };
            owner.caller.wait(draw.below(longest)).await?;
        }
        if draw.one_in(4) {
            return Ok(());
        }
        let resigned = resign(owner, Some(leader.clone())).await;
        if draw.one_in(3) {
            proclaim(owner, leader.clone(), 99).await;
        }
        // Who does not know whether it has resigned begins anew.
        if !matches!(resigned, Outcome::Ok(_)) || draw.one_in(2) {
            return Ok(());
        }
        old = Some(leader);
    }
    Ok(())
}

async fn campaign(owner: &mut Owner) -> Option<LeaderKey> {
    let campaign = CampaignRequest {
        name: election(),
        lease: owner.lease,
        value: Bytes::from(format!("c{}.{}", owner.number, owner.draws)),
    };
    let patience = owner.patience();
    let campaign = call(ElectionRequest::Campaign(campaign));
    match owner.caller.ask_for(campaign, patience).await {
        Outcome::Ok(Ret::Election(ElectionResponse::Campaign(won))) => won.leader,
        _ => None,
    }
}

async fn proclaim(owner: &mut Owner, leader: LeaderKey, n: u64) -> Outcome {
    let value = Bytes::from(format!("c{}.{}.{n}", owner.number, owner.draws));
    let proclaim = ProclaimRequest {
        leader: Some(leader),
        value,
    };
    owner
        .caller
        .ask(call(ElectionRequest::Proclaim(proclaim)))
        .await
}

async fn resign(owner: &mut Owner, leader: Option<LeaderKey>) -> Outcome {
    let resign = ResignRequest { leader };
    owner
        .caller
        .ask(call(ElectionRequest::Resign(resign)))
        .await
}

fn call(request: ElectionRequest) -> Call {
    Call::Election(request)
}
