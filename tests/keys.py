"""Keys of both ends of encrypted connections."""
import os
import re
import subprocess


class Keys:
    """Keys in a directory, by names, made by the program."""

    def __init__(self, program, directory, names=("board", "client", "stranger"), psks=("first", "wrong")):
        self.directory = directory
        self.public = {}
        for name in names:
            made = subprocess.run([program, "key", "new", self.path(f"{name}.key")], check=True, capture_output=True, text=True)
            self.public[name] = re.search(r"ck1\w+", made.stdout)[0]
        for name in psks:
            subprocess.run([program, "key", "new", "--psk", self.path(f"{name}.psk")], check=True, capture_output=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def of(self, name, psk="first"):
        """The files with the secret and the pre-shared key of this end."""
        return self.path(f"{name}.key"), self.path(f"{psk}.psk")

    def options(self, psk="first", pin="board"):
        """What a client is told that has these keys, and takes the server for that one."""
        key, shared = self.of("client", psk)
        return "--key", key, "--psk", shared, "--pin", self.public[pin]

    def environment(self):
        """Where no key of another test is known."""
        return os.environ | {"XDG_CONFIG_HOME": self.directory, "HOME": self.directory}
