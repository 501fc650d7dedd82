//! Conditions that nobody announces, waited for with a deadline.

use std::time::{Duration, Instant};

/// The longest that anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(20);

/// Asks until there is an answer, and returns it.
///
/// # Panics
///
/// When there is none within [`PATIENCE`]; the message says `what` did not come.
pub async fn until<T>(what: &str, mut wanted: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = wanted().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(LOOK).await;
    }
}
