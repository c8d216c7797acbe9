"""Runs a program and stops it before and behind every system call, by ptrace(2).

What `strace` cannot do is wanted here: to do something of one's own while the program stands still.
"""
import ctypes
import os
import signal

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long

# From <linux/ptrace.h>.
TRACEME, SYSCALL, SETOPTIONS, GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000  # TRACESYSGOOD, FORK, VFORK, CLONE, EXEC, EXITKILL
WALL = 0x40000000
ENTRY, EXIT = 1, 2

# The calls that this asks about, by their numbers.
NUMBERS = {
    "x86_64": {1: "write", 74: "fsync", 75: "fdatasync", 264: "renameat", 316: "renameat2", 18: "pwrite64", 41: "socket"},
    "aarch64": {64: "write", 82: "fsync", 83: "fdatasync", 38: "renameat", 276: "renameat2", 68: "pwrite64", 198: "socket"},
}


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
    """The program stands before (`is_entry`) or behind a system call."""

    def __init__(self, pid, is_entry, number, arguments, result):
        self.pid, self.is_entry, self.arguments, self.result = pid, is_entry, arguments, result
        self.name = NAMES.get(number, "")

    def path(self):
        """The path of the descriptor that is the first argument."""
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{self.arguments[0]}")
        except OSError:
            return ""


NAMES = NUMBERS[os.uname().machine]


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
                ptrace(TRACEME, 0, 0)
                os.execv(arguments[0], arguments)
            finally:
                os._exit(127)
        # The stop at exec.
        os.waitpid(self.pid, WALL)
        ptrace(SETOPTIONS, self.pid, OPTIONS)

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
            ptrace(SYSCALL, pid, signal_number)
        except ProcessLookupError:
            pass  # killed meanwhile; waiting for it tells

    def look(self, pid, entered):
        info = Info()
        try:
            ptrace(GET_SYSCALL_INFO, pid, ctypes.sizeof(info), ctypes.byref(info))
        except ProcessLookupError:
            return None
        if info.op == ENTRY:
            entered[pid] = (info.data[0], tuple(info.data[1:7]))
            return Stop(pid, True, *entered[pid], None)
        if info.op == EXIT and pid in entered:
            return Stop(pid, False, *entered.pop(pid), info.data[0])
        return None


def ptrace(request, pid, value, pointer=None):
    # GET_SYSCALL_INFO takes a size and a pointer; the others a number where that pointer is.
    address, data = (value, pointer) if request == GET_SYSCALL_INFO else (None, value)
    if LIBC.ptrace(request, pid, address, data) == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
