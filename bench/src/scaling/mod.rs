//! How creates and point reads, and the memory of a node, change with the number of cells, of records and of tenants.
//!
//! Each point is a cluster of its own, so that no point inherits what another has left in memory or on disk. It is filled, left until its
//! stores rest, then read (W2) and then written (W1), with the same number of connections; each request goes to a tenant at random
//! ([`spread`]). One of the three grows at a time: cells with 32 tenants over them, records of one tenant in one cell, tenants in one cell.
//!
//! CAVEATS: all cells are on the same nodes of one machine. More of them give more logs, more leaders and more flushes, not more
//! processors; what more machines would give is not seen here. The runs of a point are consecutive, so that a neighbour may hit one point
//! and spare another.

pub mod fill;
pub mod spread;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rig::cluster::Cluster;
use rig::layout::Layout;
use rig::probe::resident_bytes;

use crate::report::{MEMORY_MIB, Row};
use crate::run::{self, Workload};
use crate::setup::{self, ClusterArgs};
use spread::Spread;

/// Tenants that are dealt to the cells.
const TENANTS_OF_CELLS: usize = 32;
/// Records, where something else grows.
const RECORDS: u64 = 10_000;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Axis {
    /// Shared cells on the same nodes.
    Cells,
    /// Records of one tenant.
    Records,
    /// Tenants of one cell.
    Tenants,
}

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// What grows
    #[arg(long, value_delimiter = ',', default_value = "cells,records,tenants")]
    pub axes: Vec<Axis>,
    /// Numbers of cells
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    pub cells: Vec<usize>,
    /// Numbers of records
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000")]
    pub records: Vec<u64>,
    /// Numbers of tenants
    #[arg(long, value_delimiter = ',', default_value = "1,100,10000")]
    pub tenants: Vec<usize>,
    /// Connections
    #[arg(long, default_value_t = 64)]
    pub clients: usize,
    /// Seconds of a run
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Runs of each row
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
}

/// A cluster of some size.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Point {
    axis: Axis,
    /// What its rows are told apart by.
    name: String,
    cells: usize,
    tenants: usize,
    records: u64,
}

/// Measures all points, one after the other. Two rows a point.
pub fn run(args: &ClusterArgs, size: &Size) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for point in points(size)? {
        println!("{}", point.name);
        rows.extend(measure(args, size, &point)?);
    }
    // Rows of one workload stand together, and are one picture.
    rows.sort_by_key(|row| rank(size, &row.workload));
    Ok(rows)
}

fn points(size: &Size) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for axis in &size.axes {
        let point = |name: String, cells, tenants, records| Point {
            axis: *axis,
            name,
            cells,
            tenants,
            records,
        };
        match axis {
            Axis::Cells => points.extend(size.cells.iter().map(|cells| {
                let name = counted(*cells as u64, "cell");
                point(name, *cells, TENANTS_OF_CELLS.max(*cells), RECORDS)
            })),
            Axis::Records => points.extend(size.records.iter().map(|records| {
                let name = counted(*records, "record");
                point(name, 1, 1, *records)
            })),
            Axis::Tenants => points.extend(size.tenants.iter().map(|tenants| {
                let name = counted(*tenants as u64, "tenant");
                point(name, 1, *tenants, RECORDS)
            })),
        }
    }
    let empty = points
        .iter()
        .find(|point| point.cells == 0 || point.tenants == 0 || point.records == 0);
    ensure!(
        empty.is_none(),
        "there is nothing to measure with {:?}",
        empty.map(|point| &point.name)
    );
    Ok(points)
}

fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

const WORKLOADS: [Workload; 2] = [Workload::ReadStrong, Workload::Create];

fn title(axis: Axis, workload: Workload) -> String {
    let grows = match axis {
        Axis::Cells => "cells",
        Axis::Records => "records",
        Axis::Tenants => "tenants",
    };
    format!("{}, by {grows}", workload.title())
}

/// Where a workload's rows stand in the report.
fn rank(size: &Size, title_of_row: &str) -> usize {
    let titles = size
        .axes
        .iter()
        .flat_map(|axis| WORKLOADS.map(|workload| title(*axis, workload)));
    titles.take_while(|title| title != title_of_row).count()
}

/// One point: started, filled, read, written, ended.
fn measure(args: &ClusterArgs, size: &Size, point: &Point) -> Result<Vec<Row>> {
    let mut layout = Layout::one_region(args.nodes)?;
    layout.shared = point.cells;
    let mut cluster = setup::start_as(layout, &args.beside(&point.name.replace(' ', "-")))?;
    let rows = load(&cluster, size, point).with_context(|| cluster.tails())?;
    cluster.stop()?;
    Ok(rows)
}

fn load(cluster: &Cluster, size: &Size, point: &Point) -> Result<Vec<Row>> {
    let filled = setup::runtime()?.block_on(async {
        let filled = fill::fill(cluster, point.tenants, point.records).await?;
        fill::spread_over(cluster, &filled.places, point.cells).await?;
        crate::bulk::settled(cluster).await?;
        anyhow::Ok(filled)
    })?;
    let places: Arc<[_]> = filled.places.into();
    let mut rows = Vec::new();
    for workload in WORKLOADS {
        let mut runs = Vec::new();
        for run in 0..size.runs {
            let mut measured = run::closed(cluster, workload, size.clients, size.seconds, |connection| {
                let name = format!("scaling-{run}-{connection}");
                Box::new(Spread::new(workload, Arc::clone(&places), filled.each, name, connection))
            })?;
            measured.more.insert(MEMORY_MIB.to_owned(), memory_mib(cluster)?);
            runs.push(measured);
        }
        rows.push(Row::new(&title(point.axis, workload), Some(size.clients), runs).at(&point.name));
    }
    Ok(rows)
}

/// Resident memory of a node, the mean over the nodes.
pub(crate) fn memory_mib(cluster: &Cluster) -> Result<f64> {
    let pids = cluster.pids()?;
    let bytes: u64 = pids.iter().map(|pid| resident_bytes(*pid)).sum::<Result<u64>>()?;
    Ok(bytes as f64 / 1024.0 / 1024.0 / pids.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(axes: &[Axis]) -> Size {
        Size {
            axes: axes.to_vec(),
            cells: vec![1, 64],
            records: vec![7],
            tenants: vec![3],
            clients: 1,
            seconds: 1,
            runs: 1,
        }
    }

    #[test]
    fn one_thing_grows_at_a_time_and_every_cell_gets_a_tenant() {
        let points = points(&size(&[Axis::Records, Axis::Cells])).unwrap();
        let names: Vec<_> = points.iter().map(|point| point.name.as_str()).collect();
        assert_eq!(names, ["7 records", "1 cell", "64 cells"]);
        assert_eq!((points[0].cells, points[0].tenants, points[0].records), (1, 1, 7));
        assert!(points.iter().all(|point| point.tenants >= point.cells));
        let nothing = Size {
            tenants: vec![0],
            ..size(&[Axis::Tenants])
        };
        assert!(super::points(&nothing).unwrap_err().to_string().contains("0 tenants"));
    }

    #[test]
    fn rows_of_one_picture_stand_together() {
        let size = size(&[Axis::Cells, Axis::Tenants]);
        let ranks = |axis| WORKLOADS.map(|workload| rank(&size, &title(axis, workload)));
        assert_eq!((ranks(Axis::Cells), ranks(Axis::Tenants)), ([0, 1], [2, 3]));
    }
}
