//! `sync_file_range`, for which there is no safe wrapper: the one place of this crate with an unsafe block.
//!
//! It only moves the moment at which the system writes dirty pages; it makes nothing durable, and `sync_data` follows always. Its
//! errors count all the same: the kernel reports a failed write once, and this call may be the one that it is reported to.
//! On other systems than Linux, and on file systems that do not know it, nothing happens.

use std::fs::File;
use std::io;

/// Asks the system to begin writing these bytes.
pub(crate) fn start(file: &File, offset: u64, len: u64) -> io::Result<()> {
    imp::call(file, offset, len, imp::START)
}

/// Waits until these bytes were handed to the device.
pub(crate) fn wait(file: &File, offset: u64, len: u64) -> io::Result<()> {
    imp::call(file, offset, len, imp::WAIT)
}

#[cfg(target_os = "linux")]
mod imp {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;

    pub(super) const START: libc::c_uint = libc::SYNC_FILE_RANGE_WRITE;
    pub(super) const WAIT: libc::c_uint =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;

    #[allow(unsafe_code)]
    pub(super) fn call(file: &File, offset: u64, len: u64, flags: libc::c_uint) -> io::Result<()> {
        let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        // SAFETY: the call reads no memory of ours, and the descriptor is open as long as `file` is borrowed.
        let answer = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) };
        if answer == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOSYS | libc::EINVAL | libc::ESPIPE | libc::EOPNOTSUPP | libc::EINTR) => Ok(()),
            _ => Err(error),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::fs::File;
    use std::io;

    pub(super) const START: u32 = 0;
    pub(super) const WAIT: u32 = 0;

    pub(super) fn call(_file: &File, _offset: u64, _len: u64, _flags: u32) -> io::Result<()> {
        Ok(())
    }
}
