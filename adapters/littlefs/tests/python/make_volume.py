"""Makes a littlefs volume of a directory, or writes the directory's files to one that is there, by PyPI's littlefs-python.

usage: make_volume.py IMAGE BLOCK_LEN BLOCKS VERSION DIRECTORY     VERSION: 2.0 or 2.1
"""
import os
import sys

import littlefs

image, block_len, blocks, version, tree = sys.argv[1:]
major, minor = map(int, version.split("."))
volume = littlefs.LittleFS(
    block_size=int(block_len), block_count=int(blocks), disk_version=major << 16 | minor, name_max=255, mount=False
)
if os.path.exists(image):
    with open(image, "rb") as file:
        volume.context.buffer = bytearray(file.read())
else:
    volume.format()
volume.mount()
for directory, names, files in os.walk(tree):
    inside = os.path.relpath(directory, tree)
    for name in names:
        volume.makedirs(os.path.normpath(os.path.join(inside, name)), exist_ok=True)
    for name in files:
        with open(os.path.join(directory, name), "rb") as source:
            contents = source.read()
        path = os.path.normpath(os.path.join(inside, name))
        # First something else, so that logs have entries that no longer count.
        with volume.open(path, "wb") as target:
            target.write(contents[::-1][:100])
        with volume.open(path, "wb") as target:
            target.write(contents)
for number in range(20):
    volume.makedirs(f"gone {number}", exist_ok=True)
    volume.rename(f"gone {number}", "moved")
    volume.remove("moved")
with open(image, "wb") as file:
    file.write(volume.context.buffer)
