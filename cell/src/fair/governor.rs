//! The governor: how much of the machine may be used for what nobody is owed.
//!
//! It looks at how long interactive work waits before anything is done for it: for its turn, for its turn at the log, for its turn to be
//! applied, and for a thread. That rises first where there is no room. While the median of the last looks is a seventh above what is usual without the
//! elastic class (`usual`), the rate of that falls by a quarter; while it is below, it rises slowly. Two looks in a row far above bring it down at once.
//! Places beyond shares fall and rise the same way, look by look,
//! around a constant: they are for whoever has had more than a share, and what that costs others is not to become usual.
//! Where nobody interactive is there, nothing is bound.
//!
//! A look needs a few requests. Where few come it is put off, a fifth of a second at most: also beside somebody who asks five times a second an
//! import goes as fast as there is room.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Fair;
use super::turns::Turns;
use super::usual::{Usual, median};
use crate::node::platform::Platform;

/// Between two looks while there is something to govern.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks for something to govern.
const IDLE: Duration = Duration::from_millis(200);
/// The timer's own grain: a sleep ends so much late on a machine with room.
const GRAIN: Duration = Duration::from_millis(2);
/// What nine of ten interactive requests may wait because of somebody beyond a share. Raised: others wait longer. Lowered: less of the machine is used.
const AIM: Duration = Duration::from_micros(700);
/// The rate of the elastic class when it has been seen what is usual, in units a second.
const FIRST: f64 = 2_000.0;
/// The rate that it always has. Raised: it hurts where there is no room at all. Lowered: imports stand still there.
const LEAST: f64 = 400.0;
/// A rate that is never reached.
const MOST: f64 = 1_000_000.0;
/// Places beyond shares in each cell that are always there, and as many as there are.
const SPARE_LEAST: f64 = 2.0;
const SPARE_MOST: f64 = 256.0;
/// What is left of a rate that was too high.
const FALL: f64 = 0.75;
/// How a rate rises in the time between two looks: tenfold in five seconds. Raised: it overshoots before there are looks that show it, and others feel each of
/// its waves. Lowered: it takes longer to use what is there.
const RISE: f64 = 1.01;
/// Interactive requests that a look needs, and how long it is put off at most until there are as many.
const ENOUGH: u64 = 3;
const PUT_OFF: Duration = Duration::from_millis(200);
/// The looks whose median counts, and how many there must be since the rate fell last.
const LATELY: usize = 10;
const LATELY_LEAST: usize = 4;
/// So many times its aim is far above it.
const FAR: u32 = 3;
/// The part of the rate that must have been taken for it to rise.
const USED: f64 = 0.5;
/// How long after the last interactive request nothing is bound any more.
const ALONE_AFTER: Duration = Duration::from_secs(1);
/// How long after it the governor begins anew: who comes then may be others.
const ANEW_AFTER: Duration = Duration::from_secs(10);

/// What the governor knows.
#[derive(Debug)]
struct Governor {
    rate: f64,
    spare: f64,
    usual: Usual,
    /// How long nine of ten waited at the last looks, since the rate fell.
    lately: VecDeque<Duration>,
    /// Whether the elastic class is kept down to see what is usual.
    probing: bool,
    last_interactive: Option<Instant>,
}

/// What it sees at a look.
#[derive(Clone, Copy, Debug)]
struct Sight {
    now: Instant,
    since: Duration,
    /// How many interactive requests ended.
    interactive: u64,
    /// How long nine of ten have waited.
    delay: Duration,
    /// Units that the elastic class took.
    taken: f64,
    /// Whether the elastic class has something to do.
    is_wanted: bool,
    /// Whether there are places beyond shares in use, or wanted, beside others.
    beyond: bool,
}

/// Governs for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    let fair = &platform.fair;
    if !fair.is_on {
        return;
    }
    let mut governor = Governor::new();
    let mut looked = Instant::now();
    let (mut busy, mut latest) = (false, Duration::ZERO);
    loop {
        let pause = if busy { LOOK } else { IDLE };
        let slept = Instant::now();
        tokio::time::sleep(pause).await;
        let late = slept.elapsed().saturating_sub(pause + GRAIN);
        // Behind all that this thread has to do.
        let queued = Instant::now();
        tokio::task::yield_now().await;
        latest = latest.max(late).max(queued.elapsed());
        let now = Instant::now();
        if fair.delays.count() < ENOUGH && now - looked < PUT_OFF {
            continue;
        }
        let (seen, late) = (fair.delays.take(), mem::take(&mut latest));
        let cells: Vec<Arc<Turns>> = platform.replicas().map(|replica| Arc::clone(&replica.turns)).collect();
        let mut crowds = cells.iter().map(|turns| turns.crowd());
        let sight = Sight {
            now,
            since: now - looked,
            interactive: seen.count,
            delay: seen.p90.max(late),
            taken: fair.elastic.take_count(),
            is_wanted: fair.elastic.is_wanted(),
            beyond: crowds.any(|crowd| crowd.is_shared && crowd.beyond + crowd.waiting > 0),
        };
        looked = now;
        governor.look(&sight);
        governor.tell(fair, &cells, now);
        busy = sight.taken > 0.0 || sight.beyond || sight.is_wanted;
    }
}

impl Governor {
    fn new() -> Self {
        Self {
            rate: FIRST,
            spare: SPARE_MOST,
            usual: Usual::default(),
            lately: VecDeque::new(),
            probing: false,
            last_interactive: None,
        }
    }

    fn look(&mut self, sight: &Sight) {
        if sight.interactive > 0 {
            if !self.was_shared(ANEW_AFTER, sight.now) {
                self.rate = FIRST;
                self.usual.clear();
                self.lately.clear();
            }
            self.last_interactive = Some(sight.now);
        }
        if !self.is_shared(sight.now) {
            self.probing = false;
            return;
        }
        self.look_at_spare(sight);
        self.look_at_elastic(sight);
        self.probing = sight.is_wanted && self.usual.is_probing(sight.now);
    }

    /// Places beyond shares.
    fn look_at_spare(&mut self, sight: &Sight) {
        let elastic_gives_way = !self.probing && sight.taken > 0.0 && self.rate > LEAST;
        if sight.delay <= AIM {
            self.spare = (self.spare + 1.0).min(SPARE_MOST);
        } else if sight.beyond && !elastic_gives_way {
            self.spare = (self.spare * FALL).max(SPARE_LEAST);
        }
    }

    /// The rate of the elastic class.
    fn look_at_elastic(&mut self, sight: &Sight) {
        if self.probing {
            if sight.interactive >= ENOUGH {
                self.usual.saw(sight.delay);
            }
            return;
        }
        if self.lately.len() == LATELY {
            self.lately.pop_front();
        }
        self.lately.push_back(sight.delay);
        let (aim, took) = (self.usual.aim(), sight.taken > 0.0);
        let is_far = self.lately.len() >= 2 && self.lately.iter().rev().take(2).all(|delay| *delay > FAR * aim);
        let is_known = self.lately.len() >= LATELY_LEAST;
        let is_above = median(&self.lately) > aim;
        if took && (is_far || (is_known && is_above)) {
            self.rate = (self.rate * FALL).max(LEAST);
            self.lately.clear();
        } else if is_known && !is_above && sight.taken >= USED * self.rate * sight.since.as_secs_f64() {
            let looks = sight.since.as_secs_f64() / LOOK.as_secs_f64();
            self.rate = (self.rate * RISE.powf(looks)).min(MOST);
        }
    }

    fn is_shared(&self, now: Instant) -> bool {
        self.was_shared(ALONE_AFTER, now)
    }

    /// Whether the last interactive request was within this time.
    fn was_shared(&self, within: Duration, now: Instant) -> bool {
        self.last_interactive
            .is_some_and(|last| now.saturating_duration_since(last) < within)
    }

    fn tell(&self, fair: &Fair, cells: &[Arc<Turns>], now: Instant) {
        let rate = if self.probing { LEAST } else { self.rate };
        fair.elastic.set_rate(self.is_shared(now).then_some(rate));
        cells.iter().for_each(|turns| turns.set_spare(self.spare as usize));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_millis(2);

    fn sight(now: Instant, delay: Duration, taken: f64) -> Sight {
        Sight {
            now,
            since: LOOK,
            interactive: 10,
            delay,
            taken,
            is_wanted: true,
            beyond: true,
        }
    }

    /// One that has seen what is usual.
    fn experienced(now: Instant) -> Governor {
        let mut governor = Governor::new();
        governor.look(&sight(now, USUAL, 0.0));
        assert!(governor.probing, "it looks first");
        for _ in 0..100 {
            governor.look(&sight(now, USUAL, 1.0));
        }
        assert!(!governor.probing && governor.rate == FIRST, "{governor:?}");
        governor
    }

    #[test]
    fn the_elastic_class_gives_way_first_and_then_what_is_beyond_shares() {
        let now = Instant::now();
        let mut governor = experienced(now);
        governor.spare = SPARE_MOST;
        for _ in 0..21 {
            governor.look(&sight(now, 2 * USUAL, 1.0));
        }
        assert!(governor.rate <= LEAST * 1.4 && governor.spare == SPARE_MOST, "{governor:?}");
        for _ in 0..80 {
            governor.look(&sight(now, 2 * USUAL, 1.0));
        }
        assert_eq!((governor.rate, governor.spare), (LEAST, SPARE_LEAST));
        for _ in 0..700 {
            governor.look(&sight(now, AIM / 2, 1e9));
        }
        assert!(governor.rate > 100_000.0 && governor.spare > 50.0, "{governor:?}");
    }

    #[test]
    fn what_is_usual_on_a_busy_machine_does_not_stop_the_elastic_class() {
        let now = Instant::now();
        let mut governor = experienced(now);
        // One look in four is far above what is usual, as on a machine that is shared.
        for number in 0..500 {
            let delay = if number % 4 == 0 { 5 * USUAL } else { USUAL };
            governor.look(&sight(now, delay, 1e9));
        }
        assert!(governor.rate > 10.0 * FIRST, "{governor:?}");
    }

    #[test]
    fn two_looks_far_above_bring_it_down_at_once() {
        let now = Instant::now();
        let mut governor = experienced(now);
        governor.rate = 100_000.0;
        governor.look(&sight(now, 10 * USUAL, 1e9));
        assert_eq!(governor.rate, 100_000.0 * RISE, "one says little");
        governor.look(&sight(now, 10 * USUAL, 1e9));
        assert_eq!(governor.rate, 100_000.0 * RISE * FALL);
    }

    #[test]
    fn beside_few_requests_the_rate_rises_as_well() {
        let now = Instant::now();
        let mut governor = Governor::new();
        let few = |at: u32, delay| Sight {
            since: PUT_OFF,
            interactive: 1,
            ..sight(now + at * PUT_OFF, delay, 1e9)
        };
        governor.look(&few(0, USUAL));
        assert!(governor.probing, "it looks first");
        (1..60).for_each(|at| governor.look(&few(at, USUAL)));
        assert!(!governor.probing && governor.rate > 50.0 * FIRST, "{governor:?}");
        // What they notice counts all the same.
        (60..140).for_each(|at| governor.look(&few(at, 10 * USUAL)));
        assert_eq!(governor.rate, LEAST);
    }

    #[test]
    fn what_is_not_used_does_not_rise_and_alone_nothing_is_bound() {
        let now = Instant::now();
        let mut governor = experienced(now);
        governor.look(&sight(now, USUAL / 2, 0.0));
        assert_eq!(governor.rate, FIRST);
        assert!(governor.is_shared(now) && !governor.is_shared(now + ALONE_AFTER));
        governor.rate = MOST;
        governor.look(&sight(now + 2 * ALONE_AFTER, USUAL / 2, 0.0));
        assert_eq!(governor.rate, MOST, "a pause is nobody's end");
        let later = now + 2 * ALONE_AFTER + ANEW_AFTER;
        governor.look(&sight(later, USUAL / 2, 0.0));
        assert!(
            governor.rate == FIRST && governor.probing,
            "it begins anew when somebody comes: {governor:?}"
        );
    }
}
