"""A Windows of wine's for the time of a run: its directory, the library that it lacks, and programs in it."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from checks import must_have  # noqa: E402

COMPILER = "x86_64-w64-mingw32-gcc"
# Debian's scripts of these names ask for the 32-bit half of wine.
WINE = "/usr/lib/wine/wine64"
WINESERVER = "/usr/lib/wine/wineserver64"


class Windows:
    """A prefix of wine's of its own, and the program, if there is one, copied beside what it needs."""

    def __init__(self, program=None):
        must_have((COMPILER, "gcc-mingw-w64-x86-64"), (WINE, "wine64"), (WINESERVER, "wine64"))
        self.root = tempfile.mkdtemp(prefix="coracle-wine-")
        self.environment = {
            **os.environ,
            "WINEPREFIX": os.path.join(self.root, "prefix"),
            "WINEDEBUG": "-all",
            "WINESERVER": WINESERVER,
            "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=",
            # Nothing of the user's own.
            "HOME": self.root,
        }
        self.environment.pop("DISPLAY", None)
        self.folder = os.path.join(self.root, "program")
        os.makedirs(self.folder)
        self.program = shutil.copy(program, os.path.join(self.folder, "coracle.exe")) if program else None
        self.companion = os.path.join(self.folder, "companion.exe")
        library = os.path.join(self.folder, "bcryptprimitives.dll")
        compile_c("bcryptprimitives.c", library, "-shared", "-ladvapi32")
        compile_c("companion.c", self.companion, "-municode")
        subprocess.run([WINE, "wineboot", "-i"], env=self.environment, check=True, capture_output=True, timeout=300)

    def close(self):
        subprocess.run([WINESERVER, "-k"], env=self.environment, check=False, timeout=60)
        shutil.rmtree(self.root, ignore_errors=True)

    def start(self, *command, **options):
        """A program, by the path that it has here."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen([WINE, *command], env=self.environment, text=True, **options)

    def run(self, *arguments, code=0, timeout=120, **options):
        """Runs coracle; what it printed on either stream."""
        process = self.start(self.program, *arguments, **options)
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{arguments} takes too long: {process.communicate()}") from None
        if process.returncode != code:
            raise AssertionError(f"{arguments} ended with {process.returncode}: {output!r} {errors!r}")
        return output, errors


class Server:
    """`coracle serve` in Windows, which is ended as by TerminateProcess."""

    def __init__(self, windows, folder, *arguments):
        command = [windows.program, "serve", windows_path(folder), "--listen", "127.0.0.1:0", *arguments]
        self.log = tempfile.TemporaryFile("w+")
        self.process = windows.start(*command, stderr=self.log)
        line = self.process.stdout.readline()
        found = re.match(r"listening on (127\.0\.0\.1):(\d+)$", line)
        if not found:
            self.process.kill()
            raise RuntimeError(f"{command} said {line!r} and {self.errors()!r}")
        self.port = int(found[2])
        self.address = f"{found[1]}:{found[2]}"

    def errors(self):
        self.log.flush()
        with open(f"/proc/self/fd/{self.log.fileno()}", encoding="utf-8") as file:
            return file.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


def windows_path(path):
    """A path of this machine's, as wine names it."""
    return "Z:" + os.path.abspath(path).replace("/", "\\")


def compile_c(source, target, *options):
    command = [COMPILER, "-O1", "-Wall", "-Wextra", "-Werror", "-o", target, os.path.join(HERE, source), *options]
    subprocess.run(command, check=True)
