//! A disk of its own for each node: an ext4 image, mounted through a loop device.
//!
//! It can lose its power, freeze, and fill up, and nobody else's data is on it. Power is cut by `EXT4_IOC_SHUTDOWN` without
//! flushing the journal: from then on everything fails with EIO, and after the next mount only what was fsynced is there, or what
//! the kernel happened to have written back.
//!
//! Invariants: what was mounted is unmounted, on drop and by [`sweep`] at the next start of the harness, whose directories carry
//! the process id of who made them.
//!
//! CAVEATS: root and loop devices are needed. The image itself lies in the host's page cache, so a mount is cheap and a real
//! disk's own cache is not covered.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rig::cluster::poll;
use rustix::ioctl::{Setter, ioctl};

/// The size of a node's disk. Sparse: only what is written takes room.
const IMAGE_BYTES: u64 = 1024 * 1024 * 1024;
/// How long an unmount may be busy: the processes on it have been killed, and their memory takes a while to go.
const UNMOUNT_WITHIN: Duration = Duration::from_secs(10);
/// `EXT4_IOC_SHUTDOWN`: `_IOR('X', 125, __u32)`.
const EXT4_IOC_SHUTDOWN: u32 = 0x8004_587D;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: forget the journal as well.
const NOLOGFLUSH: u32 = 2;
/// What directories of runs begin with; the process id follows.
pub const PREFIX: &str = "cloudnest-chaos-";

/// The disk of one node.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    point: PathBuf,
    mounted: bool,
    frozen: bool,
}

impl Disk {
    /// Makes an image and mounts it at `point`.
    pub fn new(image: PathBuf, point: PathBuf) -> Result<Self> {
        let file = File::create(&image).with_context(|| format!("make {}", image.display()))?;
        file.set_len(IMAGE_BYTES).context("size a disk")?;
        drop(file);
        std::fs::create_dir_all(&point).with_context(|| format!("make {}", point.display()))?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))?;
        let mut disk = Self {
            image,
            point,
            mounted: false,
            frozen: false,
        };
        disk.mount()?;
        // A node's directory is empty when it is new.
        let found = disk.point.join("lost+found");
        std::fs::remove_dir(&found).with_context(|| format!("remove {}", found.display()))?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// Mounts it again after [`Disk::cut`] and [`Disk::unmount`].
    pub fn mount(&mut self) -> Result<()> {
        if !self.mounted {
            run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.point))?;
            self.mounted = true;
        }
        Ok(())
    }

    /// Unmounts it; the processes on it must have ended.
    pub fn unmount(&mut self) -> Result<()> {
        if !self.mounted {
            return Ok(());
        }
        self.thaw()?;
        let mut last = None;
        let gone = poll(UNMOUNT_WITHIN, || match run(Command::new("umount").arg(&self.point)) {
            Ok(()) => true,
            Err(error) => {
                last = Some(error);
                false
            }
        });
        match last {
            Some(error) if !gone => Err(error),
            _ => {
                self.mounted = false;
                Ok(())
            }
        }
    }

    /// Cuts its power.
    pub fn cut(&self) -> Result<()> {
        cut(&self.point)
    }

    /// Nothing that writes to it comes back until [`Disk::thaw`].
    pub fn freeze(&mut self) -> Result<()> {
        run(Command::new("fsfreeze").arg("-f").arg(&self.point))?;
        self.frozen = true;
        Ok(())
    }

    /// Ends a freeze.
    pub fn thaw(&mut self) -> Result<()> {
        if self.frozen {
            run(Command::new("fsfreeze").arg("-u").arg(&self.point))?;
            self.frozen = false;
        }
        Ok(())
    }

    /// Takes all the room that is left; returns how much that was.
    pub fn fill(&self) -> Result<u64> {
        let free = self.free()?;
        let path = self.ballast();
        // The last blocks go to the file's own extents: what does not go in one piece goes in smaller ones. A piece that does not
        // fit may still leave most of itself behind, so what was taken is what is no longer free.
        for part in [free, free / 16, free / 256, 64 * 1024, 4096] {
            while part > 0 && self.free()? >= part {
                let (offset, length) = (std::fs::metadata(&path).map_or(0, |seen| seen.len()), part.to_string());
                let mut command = Command::new("fallocate");
                command.args(["-o", &offset.to_string(), "-l", &length]).arg(&path);
                if run(&mut command).is_err() {
                    break;
                }
            }
        }
        let taken = free.saturating_sub(self.free()?);
        ensure!(taken > 0, "nothing could be taken of {free} free bytes");
        Ok(taken)
    }

    /// Gives the room back.
    pub fn empty(&self) -> Result<()> {
        match std::fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("free a disk"),
            _ => Ok(()),
        }
    }

    /// Free bytes.
    pub fn free(&self) -> Result<u64> {
        let seen = rustix::fs::statvfs(&self.point).with_context(|| format!("look at {}", self.point.display()))?;
        Ok(seen.f_bavail * seen.f_frsize)
    }

    fn ballast(&self) -> PathBuf {
        self.point.join("chaos-ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.thaw();
        if self.unmount().is_err() {
            // Whoever still holds it open keeps the inside; the name is gone.
            let _ = run(Command::new("umount").arg("-l").arg(&self.point));
        }
    }
}

#[expect(unsafe_code, reason = "an ioctl of ext4 has no safe wrapper")]
fn cut(point: &Path) -> Result<()> {
    let directory = File::open(point).with_context(|| format!("open {}", point.display()))?;
    // SAFETY: the opcode is EXT4_IOC_SHUTDOWN, which reads one u32 from its argument and writes nothing.
    let cut = unsafe { ioctl(directory.as_fd(), Setter::<EXT4_IOC_SHUTDOWN, u32>::new(NOLOGFLUSH)) };
    cut.with_context(|| format!("cut the power of {}", point.display()))
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("run {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Whether this machine can do it: tried out once on a small image, and why not where it cannot.
pub fn probe() -> &'static Result<(), String> {
    static PROBED: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    PROBED.get_or_init(|| try_out().map_err(|error| format!("{error:#}")))
}

fn try_out() -> Result<()> {
    let directory = tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir()
        .context("make a directory")?;
    let mut disk = Disk::new(directory.path().join("image"), directory.path().join("disk"))?;
    std::fs::write(disk.point().join("not-synced"), "x").context("write to a disk")?;
    disk.cut()?;
    disk.unmount()?;
    disk.mount()?;
    ensure!(
        !disk.point().join("not-synced").exists(),
        "what was not synced survived a power cut"
    );
    Ok(())
}

/// Unmounts what runs left behind that were killed.
pub fn sweep() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    for point in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        let owner = point
            .split_once(PREFIX)
            .and_then(|(_, rest)| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !rig::cluster::is_alive(pid)) {
            let _ = run(Command::new("fsfreeze").args(["-u", point]));
            let _ = run(Command::new("umount").args(["-l", point]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_power_forgets_what_was_not_synced() {
        // Where it cannot be tried, `list` says NOT COVERED and why.
        if let Err(reason) = probe() {
            assert!(!reason.is_empty());
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(directory.path().join("image"), directory.path().join("disk")).unwrap();
        let file = disk.point().join("synced");
        std::fs::write(&file, "kept").unwrap();
        File::open(&file).unwrap().sync_all().unwrap();
        File::open(disk.point()).unwrap().sync_all().unwrap();
        disk.cut().unwrap();
        assert!(std::fs::write(disk.point().join("more"), "x").is_err());
        disk.unmount().unwrap();
        disk.mount().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");

        let taken = disk.fill().unwrap();
        assert!(
            taken > IMAGE_BYTES / 2 && disk.free().unwrap() < 64 * 1024,
            "{taken} {:?}",
            disk.free()
        );
        disk.empty().unwrap();
        assert!(disk.free().unwrap() > IMAGE_BYTES / 2);
    }
}
