//! What the sections mean together: unique names, numbers and addresses, references that exist, quorums that are odd.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::error::{Findings, suggestion};
use super::raw::{At, RawConfig, RawPlan, RawSecret, RawTiming};
use super::{ApiTls, Backup, Config, Files, Plan, Region, Secret, Timing, TlsFiles, Topology};

/// How many seconds' units a plan gives at once, where it does not say.
const BURST_SECONDS: u64 = 60;
/// Longest name of a cluster, region, node, cell or plan, in characters: a label of a certificate's name holds no more than 63.
const NAME_CHARS: usize = 40;
/// Shortest heartbeat, in milliseconds: below it the timer itself is the load.
const HEARTBEAT_MIN_MS: u64 = 10;
/// Longest election time, in milliseconds: above it nobody would wait for a leader.
const ELECTION_MAX_MS: u64 = 60_000;
/// Checks what was read. The result is whole only if `findings` stayed empty.
pub(super) fn check(raw: &RawConfig, dir: &Path, findings: &mut Findings<'_>) -> Config {
    let mut checker = Checker {
        findings,
        seen: BTreeMap::new(),
    };
    let regions = checker.regions(raw);
    let nodes = checker.nodes(raw, &regions, dir);
    let cells = checker.cells(raw, &regions, &nodes);
    let plans = raw.plans.iter().filter_map(|plan| checker.plan(plan)).collect();
    checker.regions_have_nodes(raw);
    let backups = checker.backups(raw, dir);
    let files = checker.files(raw, dir);
    Config {
        cluster: raw.cluster.as_ref().map(|name| checker.name(name)).unwrap_or_default(),
        topology: Topology {
            directory_voters: checker.voters(raw, &regions, &nodes),
            directory_changing: false,
            regions,
            nodes,
            cells,
            plans,
        },
        operator_token: raw.operator_token.as_ref().map(|secret| match &secret.value {
            RawSecret::File(path) => Secret::File(dir.join(path)),
            RawSecret::Env(name) => Secret::Env(name.clone()),
        }),
        tls: raw.tls.as_ref().and_then(|tls| {
            let path = |at: &Option<At<String>>| Some(dir.join(&at.as_ref()?.value));
            Some(TlsFiles {
                authority: path(&tls.authority)?,
                certificate: path(&tls.certificate)?,
                key: path(&tls.key)?,
            })
        }),
        api_tls: raw.api_tls.as_ref().and_then(|tls| {
            let path = |at: &Option<At<String>>| Some(dir.join(&at.as_ref()?.value));
            Some(ApiTls {
                certificate: path(&tls.certificate)?,
                key: path(&tls.key)?,
            })
        }),
        timing: checker.timing(&raw.timing),
        scheduler: raw.scheduler.unwrap_or(true),
        backups,
        files,
    }
}

/// Goes through the sections and remembers what is taken.
pub(super) struct Checker<'c, 'f> {
    pub(super) findings: &'c mut Findings<'f>,
    /// What must be there only once (kind and value), and where it was first.
    seen: BTreeMap<(&'static str, String), Range<usize>>,
}

impl Checker<'_, '_> {
    /// A name of the right form; reported otherwise, and returned as it is so that references to it are not reported too.
    pub(super) fn name(&mut self, at: &At<String>) -> String {
        let inner = at
            .value
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let edges = at.value.starts_with(|c: char| c.is_ascii_lowercase()) && !at.value.ends_with('-');
        if !inner || !edges || at.value.len() > NAME_CHARS {
            let fix = format!("use 1 to {NAME_CHARS} of a-z, 0-9 and -, start with a letter and do not end with -");
            self.findings
                .add(&at.span, at.key, format!("{:?} is not a name", at.value), fix);
        }
        at.value.clone()
    }

    /// Reports a value that is there a second time.
    pub(super) fn once<T>(&mut self, kind: &'static str, value: &str, at: &At<T>, fix: &str) {
        match self.seen.get(&(kind, value.to_owned())) {
            Some(first) => {
                let line = self.findings.line(first);
                self.findings.add(
                    &at.span,
                    at.key,
                    format!("the {kind} {value} is used in line {line} already"),
                    fix,
                );
            }
            None => {
                self.seen.insert((kind, value.to_owned()), at.span.clone());
            }
        }
    }

    fn regions(&mut self, raw: &RawConfig) -> Vec<Region> {
        let mut regions = Vec::new();
        for name in raw.regions.iter().filter_map(|region| region.name.as_ref()) {
            self.once("region", &name.value, name, "give each region one section");
            regions.push(Region { name: self.name(name) });
        }
        regions
    }

    fn backups(&mut self, raw: &RawConfig, dir: &Path) -> Vec<Backup> {
        let written = raw.regions.iter().filter_map(|region| {
            let name = region.name.as_ref()?;
            Some((&name.value, region.backup.as_ref()?))
        });
        written.filter_map(|(name, backup)| self.backup(name, backup, dir)).collect()
    }

    fn files(&mut self, raw: &RawConfig, dir: &Path) -> Vec<Files> {
        let written = raw.regions.iter().filter_map(|region| {
            let name = region.name.as_ref()?;
            Some((&name.value, region.files.as_ref()?))
        });
        let read = written.filter_map(|(name, files)| {
            Some(Files {
                region: name.clone(),
                store: self.store(name, files, dir)?,
            })
        });
        read.collect()
    }

    fn regions_have_nodes(&mut self, raw: &RawConfig) {
        for region in raw.regions.iter().filter_map(|region| region.name.as_ref()) {
            let used = raw
                .nodes
                .iter()
                .filter_map(|node| node.region.as_ref())
                .any(|name| name.value == region.value);
            if !used {
                let fix = "add a [[node]] with this region, or comment the region out";
                self.findings.add(
                    &region.span,
                    region.key,
                    format!("the region {:?} has no node", region.value),
                    fix,
                );
            }
        }
    }

    pub(super) fn region(&mut self, at: &At<String>, regions: &[Region]) -> String {
        if !regions.iter().any(|region| region.name == at.value) {
            let fix = suggestion(&at.value, regions.iter().map(|region| region.name.as_str()));
            self.findings
                .add(&at.span, at.key, format!("{:?} is not a region of this file", at.value), fix);
        }
        at.value.clone()
    }

    fn plan(&mut self, raw: &RawPlan) -> Option<Plan> {
        let mut given = |at: &Option<At<u64>>| {
            if let Some(at) = at
                && at.value == 0
            {
                self.findings.add(
                    &at.span,
                    at.key,
                    "0 would allow nothing",
                    "write 1 or more, or leave the key out",
                );
            }
            at.as_ref().map(|at| at.value)
        };
        let (records, connections) = (given(&raw.records), given(&raw.connections));
        let mut limit = |at: &Option<At<u64>>, default: u64| given(at).unwrap_or(default);
        let usual = Plan::default();
        let units_per_second = limit(&raw.units_per_second, usual.units_per_second);
        let mut plan = Plan {
            name: String::new(),
            weight: limit(&raw.weight, usual.weight),
            units_per_second,
            burst_units: limit(&raw.burst_units, units_per_second.saturating_mul(BURST_SECONDS)),
            storage_gib: limit(&raw.storage_gib, usual.storage_gib),
            records,
            connections,
            events_days: limit(&raw.events_days, usual.events_days),
            history_days: limit(&raw.history_days, usual.history_days),
            dedicated: raw.dedicated.as_ref().is_some_and(|at| at.value),
        };
        let name = raw.name.as_ref()?;
        self.once("plan", &name.value, name, "give each plan one section");
        plan.name = self.name(name);
        Some(plan)
    }

    fn timing(&mut self, raw: &RawTiming) -> Timing {
        let default = Timing::default();
        let of = |at: &Option<At<u64>>, default: u64| at.as_ref().map_or(default, |at| at.value);
        let timing = Timing {
            heartbeat_ms: of(&raw.heartbeat_ms, default.heartbeat_ms),
            election_min_ms: of(&raw.election_min_ms, default.election_min_ms),
            election_max_ms: of(&raw.election_max_ms, default.election_max_ms),
        };
        let place = |first: &Option<At<u64>>, second: &Option<At<u64>>| {
            first
                .as_ref()
                .or(second.as_ref())
                .map(|at| (at.span.clone(), at.key))
                .unwrap_or((0..0, "timing"))
        };
        if timing.heartbeat_ms < HEARTBEAT_MIN_MS {
            let (span, key) = place(&raw.heartbeat_ms, &None);
            let fix = format!("write {HEARTBEAT_MIN_MS} or more");
            self.findings.add(
                &span,
                key,
                format!("a heartbeat every {} ms is too often", timing.heartbeat_ms),
                fix,
            );
        }
        if timing.election_min_ms < timing.heartbeat_ms.saturating_mul(2) {
            let (span, key) = place(&raw.election_min_ms, &raw.heartbeat_ms);
            let what = format!(
                "an election after {} ms, with a heartbeat every {} ms",
                timing.election_min_ms, timing.heartbeat_ms
            );
            self.findings
                .add(&span, key, what, "make it at least twice the heartbeat, better three times");
        }
        if timing.election_max_ms <= timing.election_min_ms || timing.election_max_ms > ELECTION_MAX_MS {
            let (span, key) = place(&raw.election_max_ms, &raw.election_min_ms);
            let fix = format!(
                "make it larger than election_min_ms ({}) and at most {ELECTION_MAX_MS}",
                timing.election_min_ms
            );
            self.findings
                .add(&span, key, format!("{} ms do not fit", timing.election_max_ms), fix);
        }
        timing
    }
}
