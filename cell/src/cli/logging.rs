//! Logs: to standard error, what `CLOUDNEST_LOG` asks for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The variable that sets what is logged.
const VARIABLE: &str = "CLOUDNEST_LOG";
/// What is logged where it is not set.
const DEFAULT: &str = "warn,openraft=error,cloudnest=info";
/// The parts of the binary as the log names them: `cloudnest` in a directive stands for all of them.
const PARTS: [&str; 5] = ["cloudnest", "cell", "api", "raft", "storage"];

/// Starts logging. A filter that cannot be read is reported, and the default is used.
pub(super) fn start() {
    let wanted = std::env::var(VARIABLE).unwrap_or_else(|_| DEFAULT.to_owned());
    let filter = EnvFilter::try_new(expand(&wanted)).unwrap_or_else(|error| {
        eprintln!("{VARIABLE}={wanted:?} is not a filter ({error}); using {DEFAULT:?}");
        EnvFilter::new(expand(DEFAULT))
    });
    let ansi = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi);
    // A second start in one process (tests) keeps the first.
    let _ = subscriber.try_init();
}

/// The same filter with `cloudnest=LEVEL` replaced by a directive for each part.
fn expand(filter: &str) -> String {
    let directives = filter
        .split(',')
        .flat_map(|directive| match directive.trim().strip_prefix("cloudnest") {
            Some(rest) if rest.is_empty() || rest.starts_with('=') => PARTS.iter().map(|part| format!("{part}{rest}")).collect(),
            _ => vec![directive.to_owned()],
        });
    directives.collect::<Vec<String>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_stands_for_all_its_parts() {
        assert_eq!(
            expand("warn,cloudnest=debug"),
            "warn,cloudnest=debug,cell=debug,api=debug,raft=debug,storage=debug"
        );
        assert_eq!(expand("cloudnest_x=info,raft::wal=trace"), "cloudnest_x=info,raft::wal=trace");
        assert!(EnvFilter::try_new(expand(DEFAULT)).is_ok());
    }
}
