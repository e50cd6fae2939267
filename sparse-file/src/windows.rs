//! The call that Windows has for it.
#![expect(
    unsafe_code,
    reason = "DeviceIoControl has no safe wrapper, neither in std nor in a crate that is kept"
)]

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle as _;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Ioctl::FSCTL_SET_SPARSE;

pub(crate) fn make_sparse(file: &File) -> io::Result<bool> {
    let mut returned = 0;
    // SAFETY: the handle is open as long as `file` is borrowed. Without an input buffer, which the call takes as "sparse",
    // and without an output buffer, it reads and writes no memory of ours but `returned`, which outlives it, as it is not
    // overlapped: std opens files so.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            FSCTL_SET_SPARSE,
            null(),
            0,
            null_mut(),
            0,
            &raw mut returned,
            null_mut(),
        )
    };
    if done != 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    let code = error
        .raw_os_error()
        .and_then(|code| u32::try_from(code).ok());
    match code {
        Some(ERROR_INVALID_FUNCTION | ERROR_NOT_SUPPORTED) => Ok(false),
        _ => Err(error),
    }
}
