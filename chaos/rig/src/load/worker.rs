//! The connections of a run, and what paces them.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::{Notify, Semaphore};

use super::recorder::{Outcome, Recorder};
use super::{Pacing, Plan, RECONNECT_PAUSE, Refused, Script};
use crate::http::{Connection, ExchangeError};
use crate::probe::{Probe, Sample};

/// The pacer wakes no more often than this; what falls due in between is released together.
const PACE_STEP: Duration = Duration::from_micros(200);

/// Requests that fall due at a fixed rate.
struct Schedule {
    start: Instant,
    interval: Duration,
    /// Number of the next request to be taken.
    next: Cell<u64>,
    /// Requests of the whole run.
    total: u64,
    /// One permit a request that is due.
    due: Arc<Semaphore>,
}

impl Schedule {
    /// Waits for a request to fall due and takes it. `None`: the run is over.
    async fn take(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        let number = self.next.get();
        self.next.set(number + 1);
        Some(self.start + self.interval.mul_f64(number as f64))
    }

    /// How many fall due until a moment.
    fn due_by(&self, moment: Instant) -> u64 {
        let elapsed = moment.saturating_duration_since(self.start);
        ((elapsed.as_secs_f64() / self.interval.as_secs_f64()) as u64 + 1).min(self.total)
    }
}

struct Run {
    plan: Plan,
    ends: Cell<Instant>,
    recorder: RefCell<Recorder>,
    schedule: Option<Schedule>,
}

/// Runs a plan on the current `LocalSet`.
pub(super) async fn run(plan: Plan, scripts: Vec<Box<dyn Script>>, stop: &Notify) -> Result<Outcome> {
    let start = Instant::now();
    let opens = start + plan.warmup;
    let ends = opens + plan.window;
    let schedule = match plan.pacing {
        Pacing::Closed => None,
        Pacing::Open { rate } => Some(schedule(start, ends, rate)?),
    };
    let recorder = RefCell::new(Recorder::new(opens, plan.window, &plan.classes).in_slots(plan.slot));
    let run = Rc::new(Run {
        plan,
        ends: Cell::new(ends),
        recorder,
        schedule,
    });
    let pacer = run.schedule.as_ref().map(start_pacer).transpose()?;
    let workers: Vec<_> = scripts
        .into_iter()
        .enumerate()
        .map(|(number, script)| tokio::task::spawn_local(Worker::new(Rc::clone(&run), number, script).work()))
        .collect();
    let samples = sample_both_ends(&run, opens, stop).await?;
    if let Some(pacer) = pacer {
        pacer.stop(&run);
    }
    for worker in workers {
        worker.await.context("run a connection")?;
    }
    let run = Rc::into_inner(run).context("a connection still runs")?;
    Ok(run.recorder.into_inner().finish(samples))
}

/// Waits out the window, or until it is told to stop, and samples the probe at its ends, off this thread: reading `/proc` and metrics blocks.
async fn sample_both_ends(run: &Run, opens: Instant, stop: &Notify) -> Result<Option<[(Sample, u64); 2]>> {
    tokio::time::sleep_until(opens.into()).await;
    let first = sample(run).await?;
    if tokio::time::timeout_at(run.ends.get().into(), stop.notified()).await.is_ok() {
        let now = Instant::now();
        run.ends.set(now);
        run.recorder.borrow_mut().close(now);
    }
    let last = sample(run).await?;
    Ok(first.zip(last).map(|(first, last)| [first, last]))
}

async fn sample(run: &Run) -> Result<Option<(Sample, u64)>> {
    let Some(probe) = run.plan.probe.clone() else {
        return Ok(None);
    };
    let done = run.recorder.borrow().successes();
    // Processor time first and at once, so that it belongs to the number of successes just read.
    let cpu = Probe {
        metrics: Vec::new(),
        ..probe.clone()
    }
    .sample()?;
    let with_metrics = tokio::task::spawn_blocking(move || probe.sample())
        .await
        .context("sample")??;
    Ok(Some((
        Sample {
            fsyncs: with_metrics.fsyncs,
            ..cpu
        },
        done,
    )))
}

fn schedule(start: Instant, ends: Instant, rate: f64) -> Result<Schedule> {
    anyhow::ensure!(rate.is_finite() && rate > 0.0, "the rate must be above zero");
    Ok(Schedule {
        start,
        interval: Duration::from_secs_f64(1.0 / rate),
        next: Cell::new(0),
        total: ((ends - start).as_secs_f64() * rate) as u64,
        due: Arc::new(Semaphore::new(0)),
    })
}

/// Releases requests as they fall due, from a thread of its own: the runtime's timer counts in whole milliseconds.
struct Pacer {
    thread: std::thread::JoinHandle<()>,
    stopped: Arc<AtomicBool>,
}

fn start_pacer(schedule: &Schedule) -> Result<Pacer> {
    let stopped = Arc::new(AtomicBool::new(false));
    let (flag, due) = (Arc::clone(&stopped), Arc::clone(&schedule.due));
    let (start, interval, total) = (schedule.start, schedule.interval, schedule.total);
    let pace = move || {
        let mut released = 0u64;
        while released < total && !flag.load(Ordering::Relaxed) {
            let elapsed = start.elapsed();
            let reached = ((elapsed.as_secs_f64() / interval.as_secs_f64()) as u64 + 1).min(total);
            if reached > released {
                due.add_permits(usize::try_from(reached - released).unwrap_or(usize::MAX));
                released = reached;
            }
            let next = interval.mul_f64(released as f64);
            std::thread::sleep(next.saturating_sub(start.elapsed()).max(PACE_STEP));
        }
    };
    let thread = std::thread::Builder::new()
        .name("pacer".to_owned())
        .spawn(pace)
        .context("start the pacer")?;
    Ok(Pacer { thread, stopped })
}

impl Pacer {
    /// Ends the run: nobody takes a request any more, and what was due and not taken is counted.
    fn stop(self, run: &Run) {
        self.stopped.store(true, Ordering::Relaxed);
        let Some(schedule) = &run.schedule else { return };
        schedule.due.close();
        // It sleeps for less than an interval at a time; a pacer that panicked has released what it could.
        let _ = self.thread.join();
        let unsent = schedule.due_by(run.ends.get()).saturating_sub(schedule.next.get());
        if unsent > 0 {
            run.recorder.borrow_mut().failures("not_sent", unsent);
        }
    }
}

struct Worker {
    run: Rc<Run>,
    number: usize,
    script: Box<dyn Script>,
    connection: Option<Connection>,
    /// Grows by one with each broken connection, so that the next goes to another target.
    attempts: usize,
    request: Vec<u8>,
}

impl Worker {
    fn new(run: Rc<Run>, number: usize, script: Box<dyn Script>) -> Self {
        Self {
            run,
            number,
            script,
            connection: None,
            attempts: 0,
            request: Vec::with_capacity(1_024),
        }
    }

    async fn work(mut self) {
        let run = Rc::clone(&self.run);
        loop {
            let due = match &run.schedule {
                Some(schedule) => match schedule.take().await {
                    Some(due) => due,
                    None => return,
                },
                None => Instant::now(),
            };
            // Of a run that was told to stop, what falls due while its connections notice is none of its requests.
            if due >= run.ends.get() {
                return;
            }
            match self.attempt(due).await {
                Ok(class) => run.recorder.borrow_mut().success(class, due, Instant::now()),
                Err(kind) => {
                    run.recorder.borrow_mut().failure(&kind, due);
                    if self.connection.is_none() {
                        tokio::time::sleep(RECONNECT_PAUSE).await;
                    }
                }
            }
        }
    }

    /// One request; the class, or the kind of the failure.
    async fn attempt(&mut self, due: Instant) -> Result<usize, String> {
        // The time in the queue is part of the latency, but a request that is sent gets its full timeout.
        let deadline = due.max(Instant::now()) + self.run.plan.timeout;
        let mut connection = self.open(deadline).await?;
        self.request.clear();
        let class = self.script.request(&mut self.request);
        match tokio::time::timeout_at(deadline.into(), connection.exchange(&self.request)).await {
            Ok(Ok(reply)) => {
                let judged = self.script.check(reply.status, reply.body);
                if reply.keep_alive {
                    self.connection = Some(connection);
                } else if self.goes_elsewhere() {
                    // Who says that it closes may be about to end.
                    self.attempts += 1;
                }
                judged.map(|()| class)
            }
            failed => {
                self.attempts += 1;
                Err(match failed {
                    Ok(Err(ExchangeError::Parse(_))) => "parse".to_owned(),
                    Ok(_) => "io".to_owned(),
                    Err(_) => "timeout".to_owned(),
                })
            }
        }
    }

    fn goes_elsewhere(&self) -> bool {
        matches!(self.run.plan.refused, Refused::Elsewhere { .. })
    }

    /// The connection that there is, or one to the first target that takes it.
    async fn open(&mut self, deadline: Instant) -> Result<Connection, String> {
        if let Some(connection) = self.connection.take() {
            if !self.goes_elsewhere() || !connection.is_closed() {
                return Ok(connection);
            }
            self.attempts += 1;
        }
        let mut opened = self.connect(deadline).await;
        if self.goes_elsewhere() {
            for _ in 1..self.run.plan.targets.len() / self.run.plan.refused.groups() {
                if opened.is_err() {
                    opened = self.connect(deadline).await;
                }
            }
        }
        opened
    }

    async fn connect(&mut self, deadline: Instant) -> Result<Connection, String> {
        let targets: &[SocketAddr] = &self.run.plan.targets;
        let target = targets[(self.number + self.attempts * self.run.plan.refused.groups()) % targets.len()];
        match tokio::time::timeout_at(deadline.into(), Connection::open(target)).await {
            Ok(Ok(connection)) => Ok(connection),
            _ => {
                self.attempts += 1;
                Err("connect".to_owned())
            }
        }
    }
}
