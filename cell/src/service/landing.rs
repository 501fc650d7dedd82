//! The end of a tenant that came from an archive or a backup: it is served from now on, or nothing of it stays.
//!
//! Which of the two it is the directory decides, once (`directory::tenant_land`). A command whose outcome is answered as unknown may have
//! decided it. So it is sent again, a few times, and nobody is told that a tenant failed which is served.

use std::time::Duration;

use api::error::{Code, Error, Outcome, Result};

use crate::directory::rows::Tenant;
use crate::machine::rows::Actor;
use crate::node::arriving::Arrival;

/// How often the directory is told that all has come, while its answers say nothing.
const TRIES: usize = 5;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Ends an arrival: has the tenant served if it came, else takes away what has come. The tenant, and what came with it.
///
/// # Errors
///
/// Why it did not come. [`Outcome::Unknown`] only where the directory did not say in a bounded time whether it is served.
pub(super) async fn end<T>(arrival: &Arrival<'_>, slug: &str, came: Result<T>, actor: &Actor) -> Result<(Tenant, T)> {
    let give_up = || async {
        let given_up = arrival.give_up().await;
        let left = "a tenant was not given up: it is served, or what came of it is left to the leader of its cell";
        given_up.inspect_err(|error| tracing::warn!(%error, tenant = slug, "{left}"))
    };
    match came {
        Ok(with) => {
            let tenant = settle(PAUSE, || arrival.land(actor.clone()), give_up).await?;
            Ok((tenant, with))
        }
        Err(error) => {
            // Who leads the cell takes away what is left.
            let _ = give_up().await;
            Err(error)
        }
    }
}

/// Has a tenant served that has come as a whole; where that cannot be, gives it up.
async fn settle<L, G>(pause: Duration, land: impl Fn() -> L, give_up: impl FnOnce() -> G) -> Result<Tenant>
where
    L: Future<Output = Result<Tenant>>,
    G: Future<Output = Result<()>>,
{
    let error = match send(pause, &land).await {
        Ok(tenant) => return Ok(tenant),
        Err(error) => error,
    };
    match (give_up().await, error.outcome) {
        (_, Outcome::NotApplied) => Err(error),
        (Ok(()), Outcome::Unknown) => Err(given_up()),
        // It may have been refused because the tenant is served.
        (Err(_), Outcome::Unknown) => land()
            .await
            .map_err(|last| if is_refusal(&last) { given_up() } else { error }),
    }
}

/// Tells the directory that all has come, again while an earlier word may have been heard.
async fn send<L>(pause: Duration, land: &impl Fn() -> L) -> Result<Tenant>
where
    L: Future<Output = Result<Tenant>>,
{
    let mut is_unknown = false;
    for _ in 0..TRIES {
        if is_unknown {
            tokio::time::sleep(pause).await;
        }
        let error = match land().await {
            Ok(tenant) => return Ok(tenant),
            Err(error) => error,
        };
        is_unknown |= error.outcome == Outcome::Unknown;
        if !is_unknown || is_refusal(&error) {
            return Err(error);
        }
    }
    let detail = "the directory did not say whether the tenant is served: look at it before this is sent again";
    Err(Error::new(Code::Unavailable, detail).unknown())
}

/// Whether the directory has decided otherwise: the tenant was given up, and may be gone.
fn is_refusal(error: &Error) -> bool {
    matches!(error.code, Code::Contention | Code::NotFound)
}

fn given_up() -> Error {
    let detail =
        "the directory did not say in time that the tenant is served: it was given up, and nothing of it stays; try again";
    Error::new(Code::Unavailable, detail)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::future::ready;

    use uuid::Uuid;

    use super::*;
    use crate::directory::rows::Status;

    fn served() -> Result<Tenant> {
        Ok(Tenant {
            id: Uuid::from_u128(2),
            uid: 7,
            slug: "acme".to_owned(),
            region: "one".to_owned(),
            cell: 2,
            epoch: 1,
            plan: "free".to_owned(),
            template: None,
            status: Status::Active,
            created: 5,
            operation: None,
        })
    }

    fn unknown<T>() -> Result<T> {
        Err(Error::new(Code::Unavailable, "it may or may not be applied").unknown())
    }

    fn failed<T>(code: Code) -> Result<T> {
        Err(Error::new(code, "it was not applied"))
    }

    /// What is told where the directory answers like this: the code and outcome of an error; and whether the tenant was given up.
    async fn told(lands: Vec<Result<Tenant>>, answer: Result<()>) -> (Option<(Code, Outcome)>, bool) {
        let (lands, was_given_up) = (RefCell::new(VecDeque::from(lands)), Cell::new(false));
        let land = || ready(lands.borrow_mut().pop_front().expect("it is sent no more often"));
        let give_up = || {
            was_given_up.set(true);
            ready(answer)
        };
        let ended = settle(Duration::ZERO, land, give_up).await;
        assert!(lands.borrow().is_empty(), "it is sent as often as that");
        (ended.err().map(|error| (error.code, error.outcome)), was_given_up.get())
    }

    #[tokio::test]
    async fn a_word_that_may_have_been_heard_is_sent_again_before_the_tenant_is_given_up() {
        let heard = vec![unknown(), failed(Code::Unavailable), unknown(), served()];
        assert_eq!(told(heard, Ok(())).await, (None, false));
        let last = (0..TRIES - 1).map(|_| unknown::<Tenant>()).chain([served()]).collect();
        assert_eq!(told(last, Ok(())).await, (None, false));
    }

    #[tokio::test]
    async fn a_tenant_that_could_not_be_given_up_because_it_is_served_is_told_as_served() {
        let lands = |last: Result<Tenant>| -> Vec<Result<Tenant>> { (0..TRIES).map(|_| unknown()).chain([last]).collect() };
        assert_eq!(told(lands(served()), failed(Code::Contention)).await, (None, true));
        let gone = Some((Code::Unavailable, Outcome::NotApplied));
        assert_eq!(told(lands(failed(Code::Contention)), unknown()).await, (gone, true));
        let untold = Some((Code::Unavailable, Outcome::Unknown));
        assert_eq!(told(lands(unknown()), unknown()).await, (untold, true));
    }

    #[tokio::test]
    async fn what_is_decided_otherwise_or_was_given_up_has_failed() {
        let silent = (0..TRIES).map(|_| unknown::<Tenant>()).collect();
        let gone = Some((Code::Unavailable, Outcome::NotApplied));
        assert_eq!(told(silent, Ok(())).await, (gone, true));
        for code in [Code::Contention, Code::NotFound, Code::Unavailable] {
            let refused = Some((code, Outcome::NotApplied));
            assert_eq!(told(vec![failed(code)], Ok(())).await, (refused, true));
        }
        let late = Some((Code::Contention, Outcome::NotApplied));
        assert_eq!(told(vec![unknown(), failed(Code::Contention)], Ok(())).await, (late, true));
    }
}
