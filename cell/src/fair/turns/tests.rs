//! Turns: who passes, who waits, and in which order.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use tokio::sync::oneshot;

use super::round::{Place, Room, Round, WAITING};
use super::*;

type Waiting = LocalBoxFuture<'static, Result<Turn, Crowded>>;

fn ask(turns: &Arc<Turns>, tenant: u64, weight: u64, units: u64) -> Waiting {
    let turns = Arc::clone(turns);
    async move { turns.enter(tenant, weight, Units::whole(units)).await }.boxed_local()
}

/// Asks, and waits in line.
fn wait(turns: &Arc<Turns>, tenant: u64, weight: u64, units: u64) -> Waiting {
    let mut asked = ask(turns, tenant, weight, units);
    assert!((&mut asked).now_or_never().is_none(), "there was room");
    asked
}

async fn pass(turns: &Arc<Turns>, tenant: u64) -> Turn {
    ask(turns, tenant, 1, 1).now_or_never().expect("room").expect("a turn")
}

/// Serves one after the other, each as long as nobody else is served, and says how many of each tenant were among the first.
async fn serve(turns: &Arc<Turns>, first: Turn, mut waiting: Vec<(u64, Waiting)>, count: usize) -> BTreeMap<u64, usize> {
    let mut served = BTreeMap::new();
    let mut turn = Some(first);
    for _ in 0..count {
        drop(turn.take());
        assert_eq!(turns.crowd().under_way, 1, "the next one was woken");
        let mut found = None;
        for (at, (tenant, asked)) in waiting.iter_mut().enumerate() {
            if let Some(got) = asked.now_or_never() {
                found = Some((at, *tenant, got.expect("a turn")));
                break;
            }
        }
        let (at, tenant, got) = found.expect("somebody was served");
        drop(waiting.swap_remove(at));
        *served.entry(tenant).or_default() += 1;
        turn = Some(got);
    }
    served
}

#[tokio::test]
async fn there_is_room_for_as_many_as_there_are_places() {
    let turns = Turns::new(2, PATIENCE);
    let (one, two) = (pass(&turns, 1).await, pass(&turns, 1).await);
    let third = wait(&turns, 1, 1, 1);
    assert_eq!((turns.crowd().under_way, turns.crowd().waiting), (2, 1));
    drop(one);
    let third = third.await.expect("a turn");
    assert!(!third.is_own_wait(), "all places were taken, its share was not");
    assert_eq!((turns.crowd().under_way, turns.crowd().waiting), (2, 0));
    drop((two, third));
    assert_eq!(turns.crowd().under_way, 0);
    assert!(turns.lock().is_empty(), "nothing is kept of who has gone");
}

#[tokio::test]
async fn a_flood_waits_behind_itself_and_costs_count_not_requests() {
    let turns = Turns::new(1, PATIENCE);
    let first = pass(&turns, 9).await;
    let mut waiting = Vec::new();
    for _ in 0..200 {
        waiting.push((1, wait(&turns, 1, 1, 1)));
    }
    for _ in 0..30 {
        waiting.push((2, wait(&turns, 2, 1, 1)));
        waiting.push((3, wait(&turns, 3, 1, 4)));
    }
    let served = serve(&turns, first, waiting, 54).await;
    assert_eq!(served, BTreeMap::from([(1, 24), (2, 24), (3, 6)]));
}

#[tokio::test]
async fn weights_share_in_their_proportion() {
    let turns = Turns::new(1, PATIENCE);
    let first = pass(&turns, 9).await;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting.push((1, wait(&turns, 1, 1, 1)));
        waiting.push((2, wait(&turns, 2, 3, 1)));
    }
    let served = serve(&turns, first, waiting, 80).await;
    assert_eq!(served, BTreeMap::from([(1, 20), (2, 60)]));
}

#[tokio::test]
async fn a_tenant_beside_others_has_its_share_and_what_is_spare() {
    let turns = Turns::new(100, PATIENCE);
    turns.set_spare(2);
    let mut held = vec![pass(&turns, 2).await];
    // Four of its own, two that are spare.
    for _ in 0..6 {
        held.push(pass(&turns, 1).await);
    }
    let more = wait(&turns, 1, 1, 1);
    held.push(pass(&turns, 2).await);
    assert_eq!((turns.crowd().beyond, turns.crowd().is_shared), (2, true));
    turns.set_spare(3);
    let more = more.await.expect("a turn");
    assert!(more.is_own_wait() && !held[0].is_own_wait(), "it had its share");
    held.push(more);
    drop(held);
    assert_eq!(
        turns.crowd(),
        Crowd {
            is_shared: true,
            ..Crowd::default()
        }
    );
}

#[tokio::test]
async fn a_tenant_alone_may_have_all_places() {
    let turns = Turns::new(8, PATIENCE);
    turns.set_spare(0);
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(pass(&turns, 1).await);
    }
    drop(wait(&turns, 1, 1, 1));
    assert_eq!(turns.crowd().waiting, 1, "who has gone is noticed when it would be woken");
    drop(held);
    assert_eq!((turns.crowd().waiting, turns.crowd().under_way), (0, 0));
}

#[tokio::test]
async fn who_waits_too_long_is_told_and_too_many_of_one_tenant_at_once() {
    let turns = Turns::new(1, Duration::from_millis(20));
    let _first = pass(&turns, 1).await;
    assert_eq!(ask(&turns, 2, 1, 1).await.err(), Some(Crowded::Late));
    let crowd: Vec<Waiting> = (0..WAITING).map(|_| wait(&turns, 3, 1, 1)).collect();
    assert_eq!(ask(&turns, 3, 1, 1).await.err(), Some(Crowded::Own));
    drop(crowd);
}

#[tokio::test]
async fn what_cost_more_than_was_thought_is_paid_in_the_next_round() {
    let turns = Turns::new(1, PATIENCE);
    let first = pass(&turns, 9).await;
    let mut waiting: Vec<Waiting> = Vec::new();
    for _ in 0..3 {
        waiting.push(wait(&turns, 1, 1, 4));
    }
    let other = wait(&turns, 2, 1, 4);
    let other_again = wait(&turns, 2, 1, 4);
    drop(first);
    let first = waiting.remove(0).await.expect("a turn");
    first.end(Units::whole(8));
    drop(other.await.expect("a turn"));
    // It owes a quantum: the other tenant comes twice.
    drop(other_again.await.expect("a turn"));
    drop(waiting.remove(0).await.expect("a turn"));
}

#[test]
fn who_has_gone_holds_nobody_up() {
    let (mut round, now) = (Round::default(), Instant::now());
    let room = Room { window: 10, spare: 0 };
    for tenant in [2, 1, 1, 1, 1] {
        assert!(matches!(round.comes(tenant, 1, 1, room, now), Some(Place::AtOnce)));
    }
    let Some(Place::Later(gone, _)) = round.comes(1, 1, 1, room, now) else {
        panic!("it has its share");
    };
    drop(gone);
    // Later the tenant is alone, and may have all places, though nobody gave one back.
    let later = now + Duration::from_secs(60);
    let Some(Place::Later(mut waits, _)) = round.comes(1, 1, 1, room, later) else {
        panic!("it comes after the one that has gone");
    };
    let (tenant, waiter) = round.next(room, later).expect("its turn");
    assert!(tenant == 1 && !waiter.wake.is_closed());
    drop(waiter);
    assert!(
        waits
            .try_recv()
            .is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
    );
}

#[tokio::test]
async fn who_had_far_more_than_the_others_has_a_smaller_share() {
    let turns = Turns::new(100, PATIENCE);
    turns.set_spare(0);
    let start = Instant::now();
    let mut round = turns.lock();
    let came = |round: &mut Round, tenant, at| {
        let place = round.comes(tenant, 1, 1_000, turns.room(), at).expect("room to wait");
        let at_once = matches!(place, Place::AtOnce);
        if at_once {
            round.give_back(tenant, 1_000, None);
        }
        at_once
    };
    for _ in 0..3 {
        assert!(came(&mut round, 1, start) && came(&mut round, 2, start));
    }
    for _ in 0..10 {
        came(&mut round, 1, start);
    }
    let later = start + Duration::from_millis(600);
    for (tenant, places) in [(1, 1), (2, 4)] {
        for _ in 0..places {
            let place = round.comes(tenant, 1, 1_000, turns.room(), later);
            assert!(matches!(place, Some(Place::AtOnce)), "{tenant} has {places} places");
        }
        assert!(matches!(
            round.comes(tenant, 1, 1_000, turns.room(), later),
            Some(Place::Later(..))
        ));
    }
    assert_eq!(round.crowd(later).beyond, 0);
}

#[tokio::test]
async fn who_has_waited_for_long_passes_where_few_are_under_way() {
    let turns = Turns::new(32, PATIENCE);
    turns.set_spare(0);
    let (start, mut round) = (Instant::now(), turns.lock());
    for tenant in [1, 2] {
        for _ in 0..3 {
            let place = round.comes(tenant, 1, 1, turns.room(), start);
            assert!(matches!(place, Some(Place::AtOnce)));
        }
    }
    assert!(matches!(round.comes(1, 1, 1, turns.room(), start), Some(Place::AtOnce)));
    let waits: Vec<_> = (0..2).map(|_| round.comes(1, 1, 1, turns.room(), start)).collect();
    assert!(round.next(turns.room(), start).is_none(), "it has its share");
    let later = start + Duration::from_millis(250);
    round.comes(2, 1, 1, turns.room(), later);
    assert!(round.next(turns.room(), later).is_none(), "8 of 32 are a quarter");
    round.give_back(2, 1, None);
    assert_eq!(round.next(turns.room(), later).map(|(tenant, _)| tenant), Some(1));
    assert!(round.next(turns.room(), later).is_none(), "and only as many as a quarter");
    drop(waits);
}

#[test]
fn of_a_flood_that_has_waited_for_long_one_passes_at_a_time() {
    let (mut round, start) = (Round::default(), Instant::now());
    let room = Room { window: 100, spare: 0 };
    for asked in 0..100 {
        let tenant = if asked < 3 { 2 } else { 1 };
        if let Some(Place::AtOnce) = round.comes(tenant, 1, 1, room, start) {
            round.give_back(tenant, 1, None);
        }
    }
    let later = start + Duration::from_millis(600);
    round.comes(2, 1, 1, room, later);
    let waits: Vec<_> = (0..20).map(|_| round.comes(1, 1, 1, room, later)).collect();
    let overdue = later + Duration::from_millis(250);
    for _ in 0..3 {
        assert_eq!(round.next(room, overdue).map(|(tenant, _)| tenant), Some(1));
        assert!(round.next(room, overdue).is_none(), "its share, and one more");
        round.give_back(1, 1, None);
    }
    drop(waits);
}

#[test]
fn who_is_given_far_more_than_others_without_a_place_is_known_by_it() {
    let (mut round, start) = (Round::default(), Instant::now());
    let room = Room { window: 8, spare: 8 };
    let mut beyond = |tenant, units, at| {
        // Requests of others make a node a shared one.
        round.comes(tenant, 1, 1_000, room, at);
        round.is_far_beyond(tenant, 1, Units::whole(units), at)
    };
    let spans = |count: u32| start + Duration::from_millis(500) * count;
    for tenant in 1..=3 {
        assert!(!beyond(tenant, 10, start), "nothing is known yet");
    }
    assert!(!beyond(4, 100, start));
    assert!(beyond(4, 1, spans(1)), "it had ten times what the others had");
    assert!(!beyond(1, 1, spans(1)), "others had not");
    let later = spans(20);
    assert!(!beyond(4, 1, later), "what was long ago does not count");
}
