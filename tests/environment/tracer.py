"""Runs a program and stops it before and after every system call, by ptrace(2).

Unlike `strace` it can run code while the program is stopped, fail a call after it was made, and shorten one. x86-64 only.
"""
import ctypes
import os
import signal

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long

# From <linux/ptrace.h>.
TRACEME, GETREGS, SETREGS, SYSCALL, SETOPTIONS, GET_SYSCALL_INFO = 0, 12, 13, 24, 0x4200, 0x420E
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000  # TRACESYSGOOD, FORK, VFORK, CLONE, EXEC, EXITKILL
WALL = 0x40000000
ENTRY, EXIT = 1, 2

# From <sys/user.h>: where the registers of a call stand among the 27 of a program.
R10, RAX, RDX, RSI, RDI, ORIG_RAX = 7, 10, 12, 13, 14, 15
Registers = ctypes.c_uint64 * 27

# From <asm/unistd_64.h>: the calls of the programs that are looked at.
NAMES = {
    0: "read", 1: "write", 2: "open", 3: "close", 4: "stat", 5: "fstat", 6: "lstat", 7: "poll", 8: "lseek", 9: "mmap",
    10: "mprotect", 11: "munmap", 12: "brk", 13: "rt_sigaction", 14: "rt_sigprocmask", 15: "rt_sigreturn",
    16: "ioctl", 17: "pread64", 18: "pwrite64", 19: "readv", 20: "writev", 21: "access", 24: "sched_yield",
    25: "mremap", 28: "madvise", 35: "nanosleep", 39: "getpid", 40: "sendfile", 41: "socket", 42: "connect",
    43: "accept", 44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg", 48: "shutdown", 49: "bind",
    50: "listen", 51: "getsockname", 52: "getpeername", 53: "socketpair", 54: "setsockopt", 55: "getsockopt",
    56: "clone", 59: "execve", 60: "exit", 63: "uname", 72: "fcntl", 73: "flock", 74: "fsync", 75: "fdatasync",
    76: "truncate", 77: "ftruncate", 79: "getcwd", 80: "chdir", 82: "rename", 83: "mkdir", 87: "unlink",
    89: "readlink", 91: "fchmod", 93: "fchown", 97: "getrlimit", 131: "sigaltstack", 137: "statfs", 138: "fstatfs", 144: "sched_setscheduler",
    145: "sched_getscheduler", 157: "prctl", 158: "arch_prctl", 186: "gettid", 190: "fsetxattr", 192: "lgetxattr", 193: "fgetxattr", 195: "llistxattr", 199: "fremovexattr", 200: "tkill", 202: "futex",
    204: "sched_getaffinity", 217: "getdents64", 218: "set_tid_address", 228: "clock_gettime", 230: "clock_nanosleep",
    231: "exit_group", 232: "epoll_wait", 233: "epoll_ctl", 234: "tgkill", 257: "openat", 258: "mkdirat",
    262: "newfstatat", 263: "unlinkat", 264: "renameat", 265: "linkat", 267: "readlinkat", 271: "ppoll",
    269: "faccessat", 273: "set_robust_list", 280: "utimensat", 285: "fallocate", 288: "accept4", 291: "epoll_create1", 293: "pipe2", 302: "prlimit64", 306: "syncfs",
    309: "getcpu", 316: "renameat2", 318: "getrandom", 332: "statx", 334: "rseq", 435: "clone3", 437: "openat2", 439: "faccessat2",
}
# Which register holds how many bytes a call is to move.
LENGTHS = {name: RDX for name in ("read", "write", "pread64", "pwrite64", "recvfrom", "sendto")}
LENGTHS |= {"sendfile": R10}
# Which argument is in which register.
ARGUMENT = {RDX: 2, R10: 3}


class Info(ctypes.Structure):
    """struct ptrace_syscall_info."""

    _fields_ = [
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("data", ctypes.c_int64 * 8),
    ]


class Stop:
    """The program stands before (`is_entry`) or behind a system call, which has a `result` then."""

    def __init__(self, pid, is_entry, call, result):
        self.pid, self.is_entry, self.call, self.result = pid, is_entry, call, result
        self.name = NAMES.get(call.number, f"call {call.number}")
        self.arguments = call.arguments

    def path(self):
        """The path of the descriptor that is the first argument."""
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{self.arguments[0]}")
        except OSError:
            return ""

    def text(self, argument):
        """The bytes that an argument points to, up to a NUL."""
        try:
            with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
                memory.seek(self.arguments[argument])
                return memory.read(4096).split(b"\0")[0]
        except (OSError, ValueError, OverflowError):
            return b""

    def fail(self, error, is_made=False):
        """At an entry: lets the call return this error, and be made all the same or not."""
        self.call.replaced = -error
        if not is_made:
            set_register(self.pid, ORIG_RAX, 2**64 - 1)

    def shorten(self, length):
        """At an entry: lets the call move at most so many bytes. Whether it moves bytes and would have moved more."""
        register = LENGTHS.get(self.name)
        if register is None or self.arguments[ARGUMENT[register]] <= length:
            return False
        self.call.restored = (register, self.arguments[ARGUMENT[register]])
        set_register(self.pid, register, length)
        return True


class Call:
    """A system call under way, and what is to be changed at its end."""

    def __init__(self, number, arguments):
        self.number, self.arguments = number, arguments
        self.replaced = None
        self.restored = None


class Traced:
    """A program under ptrace, in a process group of its own. `code` is how it ended: negative for a signal."""

    def __init__(self, arguments, stdout, stderr):
        self.code = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setpgid(0, 0)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(stdout.fileno(), 1)
                os.dup2(stderr.fileno(), 2)
                ptrace(TRACEME, 0)
                os.execv(arguments[0], arguments)
            finally:
                os._exit(127)
        # The stop at exec.
        os.waitpid(self.pid, WALL)
        ptrace(SETOPTIONS, self.pid, data=OPTIONS)

    def stops(self):
        """Every stop before and behind a system call; the program goes on when the next one is asked for."""
        entered = {}
        self.go(self.pid, 0)
        while True:
            try:
                pid, status = os.waitpid(-self.pid, WALL)
            except ChildProcessError:
                return
            if not os.WIFSTOPPED(status):
                if pid == self.pid:
                    self.code = os.waitstatus_to_exitcode(status)
                continue
            number = os.WSTOPSIG(status)
            if number == signal.SIGTRAP | 0x80:
                stop = self.look(pid, entered)
                if stop is not None:
                    yield stop
                if self.code is not None:
                    return
            # A new thread begins with a SIGSTOP, and what ptrace tells comes as a SIGTRAP: neither is the program's.
            passed_on = 0 if number in (signal.SIGTRAP, signal.SIGTRAP | 0x80, signal.SIGSTOP) else number
            self.go(pid, passed_on)

    def kill(self):
        """Ends it where it stands."""
        os.kill(self.pid, signal.SIGKILL)
        while True:
            try:
                pid, status = os.waitpid(-self.pid, WALL)
            except ChildProcessError:
                break
            if pid == self.pid and not os.WIFSTOPPED(status):
                self.code = os.waitstatus_to_exitcode(status)

    def go(self, pid, signal_number):
        try:
            ptrace(SYSCALL, pid, data=signal_number)
        except ProcessLookupError:
            pass  # killed meanwhile; waiting for it tells

    def look(self, pid, entered):
        info = Info()
        try:
            ptrace(GET_SYSCALL_INFO, pid, ctypes.sizeof(info), ctypes.byref(info))
            if info.op == ENTRY:
                entered[pid] = Call(info.data[0], tuple(info.data[1:7]))
                return Stop(pid, True, entered[pid], None)
            if info.op != EXIT or pid not in entered:
                return None
            call = entered.pop(pid)
            if call.restored is not None:
                set_register(pid, *call.restored)
            if call.replaced is None:
                return Stop(pid, False, call, info.data[0])
            set_register(pid, RAX, call.replaced)
            return Stop(pid, False, call, call.replaced)
        except ProcessLookupError:
            return None


def set_register(pid, register, value):
    registers = Registers()
    ptrace(GETREGS, pid, data=ctypes.byref(registers))
    registers[register] = value % 2**64
    ptrace(SETREGS, pid, data=ctypes.byref(registers))


def ptrace(request, pid, address=None, data=None):
    if LIBC.ptrace(request, pid, address, data) == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
