//! The progress bar of an import.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::form::Form;
use super::window::Window;

/// Between two looks at the progress.
const TICK: Duration = Duration::from_millis(200);

/// A progress bar on a terminal, nothing elsewhere.
pub(super) fn bar(length: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{bar:30} {percent:>3} %  {msg}  {elapsed} (still {eta})",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}  {bytes}  {elapsed}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Moves the bar; never ends.
pub(super) async fn follow(bar: &ProgressBar, window: &Window, form: Form) {
    loop {
        bar.set_position(window.offset());
        bar.set_message(format!("{} {}s", window.settled(), form.unit()));
        tokio::time::sleep(TICK).await;
    }
}
