//! Calls of Windows that neither the standard library nor another safe one makes.

use std::fs::File;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr::null_mut;

use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_BASIC_INFO, FileBasicInfo, GetFileInformationByHandle,
    GetFileInformationByHandleEx, GetVolumeInformationByHandleW, MoveFileExW,
};

/// What Windows tells about an open file. Times are in units of 100 ns since 1601-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Information {
    pub attributes: u32,
    pub volume: u32,
    pub index: u64,
    pub size: u64,
    pub modified: i64,
    /// Of the last change of contents, names or attributes; that of the contents where the file system has no other.
    pub changed: i64,
}

/// Asks for what is known of `file`.
pub(super) fn information(file: &File) -> io::Result<Information> {
    let handle = file.as_raw_handle();
    let mut told = MaybeUninit::<BY_HANDLE_FILE_INFORMATION>::zeroed();
    // SAFETY: the handle is open for as long as `file` is borrowed, and the structure has room for what is written.
    if unsafe { GetFileInformationByHandle(handle, told.as_mut_ptr()) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: every bit pattern is one of this structure of integers, and it was zeroed.
    let told = unsafe { told.assume_init() };
    let joined = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let written = told.ftLastWriteTime;
    let modified = joined(written.dwHighDateTime, written.dwLowDateTime).cast_signed();
    Ok(Information {
        attributes: told.dwFileAttributes,
        volume: told.dwVolumeSerialNumber,
        index: joined(told.nFileIndexHigh, told.nFileIndexLow),
        size: joined(told.nFileSizeHigh, told.nFileSizeLow),
        modified,
        changed: change_time(file).filter(|changed| *changed > 0).unwrap_or(modified),
    })
}

fn change_time(file: &File) -> Option<i64> {
    let mut told = MaybeUninit::<FILE_BASIC_INFO>::zeroed();
    let len = u32::try_from(size_of::<FILE_BASIC_INFO>()).ok()?;
    // SAFETY: the handle is open for as long as `file` is borrowed, and `len` is the size of the structure.
    let is_told =
        unsafe { GetFileInformationByHandleEx(file.as_raw_handle(), FileBasicInfo, told.as_mut_ptr().cast(), len) };
    // SAFETY: every bit pattern is one of this structure of integers, and it was zeroed.
    (is_told != 0).then(|| unsafe { told.assume_init() }.ChangeTime)
}

/// The name of the file system that `file` is on, `NTFS` for example; `None` where it is not told.
pub(super) fn file_system_name(file: &File) -> Option<String> {
    /// More than any name has.
    const MAX_LEN: u32 = 64;
    let mut name = [0; MAX_LEN as usize];
    let none = null_mut();
    // SAFETY: the handle is open for as long as `file` is borrowed, `name` has room for `MAX_LEN` units, and what is not asked for
    // may be null.
    let is_told = unsafe {
        GetVolumeInformationByHandleW(file.as_raw_handle(), null_mut(), 0, none, none, none, name.as_mut_ptr(), MAX_LEN)
    };
    let len = name.iter().position(|unit| *unit == 0).unwrap_or(name.len());
    (is_told != 0).then(|| String::from_utf16_lossy(&name[..len]))
}

/// Renames `from` to `to` on the same volume, unless something has that name.
pub(super) fn move_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    let terminated = |path: &Path| path.as_os_str().encode_wide().chain([0]).collect::<Vec<u16>>();
    let (from, to) = (terminated(from), terminated(to));
    // SAFETY: both are terminated by a zero, and live until the call returns.
    if unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), 0) } == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
