"""A real terminal (tmux) in which a program runs."""
import os
import re
import subprocess
import time

# However slow the machine is, what takes longer hangs.
TIMEOUT_S = 30


class Terminal:
    """A terminal of its own, in which one command runs in a shell."""

    count = 0

    def __init__(self, script, directory, width=80, height=24):
        # A server that is about to end refuses the next one.
        Terminal.count += 1
        self.socket = os.path.join(directory, f".tmux-{Terminal.count}")
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "screen-256color", "SHELL": "/bin/sh"}
        environment.pop("TMUX", None)
        # The terminal stays when the command has ended, so that its state can be seen.
        script = f"stty -g >.before; {script}; echo ended with $?; stty -g >.after; sleep 1000"
        command = ["tmux", "-S", self.socket, "-f", os.devnull, "-u", "new-session", "-d", "-x", str(width)]
        command += ["-y", str(height), "-c", directory, script]
        subprocess.run(command, check=True, env=environment)

    def tmux(self, *arguments):
        command = ["tmux", "-S", self.socket, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def press(self, *keys):
        """Presses keys by tmux's names for them, one after the other."""
        for key in keys:
            self.tmux("send-keys", key)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def screen(self, *arguments):
        return self.tmux("capture-pane", "-p", *arguments)

    def wait(self, pattern):
        """Waits until the screen has it, and returns the match."""
        end = time.monotonic() + TIMEOUT_S
        while True:
            screen = self.screen()
            found = re.search(pattern, screen)
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"{pattern!r} does not show up:\n{screen}")
            time.sleep(0.05)

    def resize(self, width, height):
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def state(self):
        """Whether the alternate screen is on, and whether the cursor shows."""
        return self.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag}").split()

    def end(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], check=False, capture_output=True)
