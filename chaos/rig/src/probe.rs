//! What a run cost: processor time, memory, fsyncs, bytes on disk.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::http;

/// `utime` and `stime` of `/proc/PID/stat` count in hundredths of a second on every Linux that we meet (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// The counter of a node's fsyncs of its log.
pub const FSYNC_COUNTER: &str = "cloudnest_log_fsyncs_total";
/// How long a node may take to answer with its metrics.
const METRICS_TIMEOUT: Duration = Duration::from_secs(5);

/// The processes and endpoints to look at.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// Process ids of the nodes.
    pub pids: Vec<u32>,
    /// API addresses of the nodes, for their metrics.
    pub metrics: Vec<SocketAddr>,
    /// The operator's token.
    pub token: String,
}

/// What the nodes had used up at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Processor time of all nodes since they started, in seconds.
    pub cpu_seconds: f64,
    /// Fsyncs of all nodes' logs since they started; `None` where a node does not count them.
    pub fsyncs: Option<u64>,
}

impl Probe {
    /// Looks now. Blocks for a few milliseconds.
    pub fn sample(&self) -> Result<Sample> {
        let cpu_seconds = self.pids.iter().map(|pid| cpu_seconds(*pid)).sum::<Result<f64>>()?;
        let fsyncs = self.fsyncs();
        Ok(Sample {
            at: Instant::now(),
            cpu_seconds,
            fsyncs,
        })
    }

    fn fsyncs(&self) -> Option<u64> {
        let mut total = 0;
        for address in &self.metrics {
            let body = http::get(*address, "/metrics", &self.token, METRICS_TIMEOUT).ok()?;
            total += counter(&String::from_utf8_lossy(&body), FSYNC_COUNTER)?;
        }
        (!self.metrics.is_empty()).then_some(total)
    }
}

/// Processor time of a process since it started, in seconds, of all its threads.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    ticks(&text)
        .map(|ticks| ticks / TICKS_PER_SECOND)
        .with_context(|| format!("parse {path}"))
}

/// `utime + stime`: fields 14 and 15. The second field, the name in parentheses, may hold blanks.
fn ticks(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(f64::from(user) + f64::from(system))
}

/// Resident memory of a process, in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .with_context(|| format!("find VmRSS in {path}"))?;
    let kib: u64 = line
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .with_context(|| format!("parse VmRSS of {path}"))?;
    Ok(kib * 1024)
}

/// The sum of a counter over all its labels in a text of Prometheus' format; `None`: it is not there.
pub fn counter(text: &str, name: &str) -> Option<u64> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let value = match rest.as_bytes().first() {
            Some(b' ') => rest,
            Some(b'{') => rest.rsplit_once('}').map_or("", |(_, value)| value),
            _ => continue,
        };
        let number: f64 = value.split_ascii_whitespace().next()?.parse().ok()?;
        // A counter of events stays far below 2^53.
        *sum.get_or_insert(0) += number as u64;
    }
    sum
}

/// Bytes that a node's directory takes on disk, by the use that a file is put to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// The log: files below a directory whose name begins with `log` or `wal`.
    pub log_bytes: u64,
    /// Everything else: the stores.
    pub store_bytes: u64,
}

/// What is allocated on disk (as `du` counts, holes left out) below a node's directory, but for what it says to people
/// (`node.log`). Files that vanish meanwhile count as nothing.
pub fn disk_use(directory: &Path) -> Result<DiskUse> {
    let mut used = DiskUse::default();
    let mut open = vec![(directory.to_path_buf(), false)];
    while let Some((path, in_log)) = open.pop() {
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path != directory => continue,
            Err(error) => return Err(error).with_context(|| format!("list {}", path.display())),
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", path.display()))?;
            let Ok(metadata) = entry.metadata() else { continue };
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("node.log") {
                continue;
            }
            let in_log = in_log || is_log(&name.to_string_lossy());
            if metadata.is_dir() {
                open.push((entry.path(), in_log));
            } else {
                let bytes = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
                *(if in_log { &mut used.log_bytes } else { &mut used.store_bytes }) += bytes;
            }
        }
    }
    Ok(used)
}

fn is_log(name: &str) -> bool {
    name.starts_with("log") || name.starts_with("wal") || name.ends_with(".wal")
}

/// The machine in a few words, for a report.
pub fn machine(data: &Path) -> BTreeMap<String, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let memory_kib = field(&read("/proc/meminfo"), "MemTotal")
        .trim_end_matches("kB")
        .trim()
        .parse::<u64>()
        .unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    BTreeMap::from([
        ("processor".to_owned(), field(&read("/proc/cpuinfo"), "model name")),
        ("cores".to_owned(), cores.to_string()),
        ("memory".to_owned(), format!("{:.1} GiB", memory_kib as f64 / 1024.0 / 1024.0)),
        ("kernel".to_owned(), read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("file system".to_owned(), file_system(&read("/proc/mounts"), data)),
        (
            "autogroup".to_owned(),
            read("/proc/sys/kernel/sched_autogroup_enabled").trim().to_owned(),
        ),
        (
            "load before".to_owned(),
            read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        ),
    ])
}

/// The type of the file system that holds `path`: that of the longest mount point above it.
fn file_system(mounts: &str, path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let rows = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = rows.filter(|(point, _)| path.starts_with(point));
    holding
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind.to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_fields_14_and_15_whatever_the_name() {
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(ticks(stat), Some(300.0));
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
    }

    #[test]
    fn a_counter_is_summed_over_its_labels() {
        let text = "# HELP a_total x\na_total{group=\"1\"} 3\na_total{group=\"2\"} 4e0\na_total_more 9\nb_total 5\n";
        assert_eq!(counter(text, "a_total"), Some(7));
        assert_eq!(counter(text, "b_total"), Some(5));
        assert_eq!(counter(text, "c_total"), None);
    }

    #[test]
    fn disk_use_tells_log_from_store() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("log/old")).unwrap();
        std::fs::create_dir_all(root.path().join("cells/1")).unwrap();
        std::fs::write(root.path().join("log/old/segment"), vec![1; 9_000]).unwrap();
        std::fs::write(root.path().join("cells/1/store"), vec![1; 20_000]).unwrap();
        std::fs::write(root.path().join("node.log"), vec![1; 900_000]).unwrap();
        let used = disk_use(root.path()).unwrap();
        assert!(used.log_bytes >= 9_000 && used.log_bytes < 20_000, "{used:?}");
        assert!(used.store_bytes >= 20_000 && used.store_bytes < 900_000, "{used:?}");
    }

    #[test]
    fn the_longest_mount_point_wins() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /dev tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/")), "ext4");
    }
}
