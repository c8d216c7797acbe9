"""Which system calls of the program can fail, and how (from their manual pages, and from what networks and disks do)."""

DISK = ["EIO", "EACCES", "ENOMEM"]
FULL = ["ENOSPC", "EDQUOT", "EIO", "EROFS"]
NO_ROOM = ["EMFILE", "ENFILE", "ENOMEM"]
# A peer or the way to it is gone.
GONE = ["ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENETDOWN"]
# Not an error of the kernel's: the call moves one byte only.
SHORT = "short"

# For files of this machine.
LOCAL = {
    "openat": [*DISK, *NO_ROOM, "EINTR", "ELOOP", "ESTALE"],
    "openat2": [*DISK, *NO_ROOM, "EINTR", "ELOOP", "ESTALE", "ENOSYS", "EAGAIN"],
    "newfstatat": DISK,
    "fstat": DISK,
    "statx": DISK,
    "statfs": ["EIO", "ENOSYS"],
    "fstatfs": ["EIO", "ENOSYS"],
    # ENOENT is its word for a directory that was removed: the end of the listing.
    "getdents64": ["EIO"],
    "readlink": DISK,
    "readlinkat": DISK,
    "flock": ["ENOLCK", "EIO", "EINTR"],
    "read": ["EIO", "EINTR", SHORT],
    "pread64": ["EIO", "EINTR", SHORT],
    "pwrite64": [*FULL, "EFBIG", "EINTR", SHORT],
    "write": ["EIO", "EPIPE", "ENOSPC", "EINTR", SHORT],
    "ftruncate": [*FULL, "EINTR"],
    "fallocate": [*FULL, "EINTR", "EOPNOTSUPP"],
    "utimensat": ["EPERM", "EROFS", "EIO"],
    "fsync": ["EIO", "ENOSPC", "EDQUOT", "EINTR"],
    "syncfs": ["EIO", "ENOSPC", "EDQUOT"],
    "renameat": [*FULL, "EXDEV", "EACCES"],
    "renameat2": [*FULL, "EXDEV", "EACCES", "EINVAL", "ENOSYS"],
    "linkat": [*FULL, "EPERM"],
    "unlinkat": ["EIO", "EACCES", "EROFS"],
    "fchmod": ["EPERM", "EIO", "EROFS"],
    "fchown": ["EPERM", "EIO", "EROFS"],
    "llistxattr": ["EOPNOTSUPP", "EIO", "ENOMEM"],
    "lgetxattr": ["ENODATA", "EOPNOTSUPP", "EIO"],
    "fgetxattr": ["ENODATA", "EOPNOTSUPP", "EIO"],
    "fsetxattr": ["EPERM", "EOPNOTSUPP", "ENOSPC"],
    "fremovexattr": ["ENODATA", "EOPNOTSUPP", "EIO"],
    "mkdir": [*FULL, "EACCES"],
    "mkdirat": [*FULL, "EACCES"],
    "fcntl": ["EINTR", "EMFILE", "EPERM"],
    "faccessat": ["EACCES", "EROFS", "EIO"],
    "faccessat2": ["EACCES", "EROFS", "EIO", "ENOSYS"],
    "lseek": ["EIO"],
    # The descriptor is closed all the same.
    "close": ["EIO", "EINTR", "ENOSPC"],
}

# For sockets, and for waiting.
NETWORK = {
    "socket": [*NO_ROOM, "ENOBUFS", "EAFNOSUPPORT"],
    "connect": ["ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL", *GONE],
    "accept4": ["ECONNABORTED", "EPROTO", "EPERM", "EINTR", "ENOBUFS", *NO_ROOM],
    "setsockopt": ["ENOPROTOOPT", "ENOBUFS", "EINVAL"],
    "getsockopt": ["ENOBUFS"],
    "getpeername": ["ENOTCONN", "ENOBUFS"],
    "getsockname": ["ENOBUFS"],
    "poll": ["EINTR", "ENOMEM"],
    "ppoll": ["EINTR", "ENOMEM"],
    "recvfrom": ["EINTR", "ENOMEM", *GONE, SHORT],
    "sendto": ["EINTR", "EPIPE", "ENOBUFS", *GONE, SHORT],
    "sendfile": ["EINTR", "EIO", "EINVAL", "ENOMEM", "EPIPE", *GONE, SHORT],
    "shutdown": ["ENOTCONN"],
    "fcntl": ["EINTR"],
    "ioctl": ["EIO"],
    "close": ["EIO", "EINTR"],
    "clone3": ["EAGAIN", "ENOMEM"],
}

# What cannot fail, or of whose failure only the language's runtime learns, which ends the program then.
EXEMPT = {
    "mmap", "mprotect", "munmap", "madvise", "brk", "mremap", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "sigaltstack", "futex", "set_robust_list", "rseq", "prctl", "gettid", "getpid", "sched_getaffinity", "sched_yield",
    "exit", "exit_group", "getcpu", "uname", "getrandom", "clock_nanosleep", "nanosleep", "clock_gettime", "prlimit64",
}

# What an interrupted or short call does to a program that makes it again: nothing.
HARMLESS = {"EINTR", SHORT}


def faults(name, is_socket):
    """The faults of a call; whether it is asked of a socket decides for calls that serve both."""
    first, second = (NETWORK, LOCAL) if is_socket else (LOCAL, NETWORK)
    return first.get(name) or second.get(name) or []
