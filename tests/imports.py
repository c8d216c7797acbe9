"""Which files of a Rust crate import which others: for tests/tree.

Every path that begins in the crate counts: those of `use` declarations, with groups, `self`, `super`, `crate` and renames,
and those that stand in code. A name that a module re-exports leads to the file that defines it. What does not count:
declarations of modules, re-exports themselves (`pub use`), and what is built for tests alone (`#[cfg(test)]`).
"""
import collections
import pathlib
import re
import tempfile

# A path from one file to another: where it stands, and how it is written.
Import = collections.namedtuple("Import", "source target line path")

TOKEN = re.compile(r"r#\w+|[^\W\d]\w*|::|[#!\[\](){};,*=<>]|\d\w*|\S")
# What is neither code nor a lifetime, in the order in which it has to be tried.
NOT_CODE = re.compile(
    r"//[^\n]*"
    r"|/\*(?:[^*]|\*(?!/))*\*/"
    r'|\bb?c?r(?P<hashes>#*)".*?"(?P=hashes)'
    r'|(?:\b[bc])?"(?:\\.|[^"\\])*"'
    r"|(?:\bb)?'(?:\\(?:u\{\w+\}|x\w\w|.)|[^'\\])'",
    re.DOTALL,
)
ITEMS = {"struct", "enum", "union", "trait", "type", "const", "static", "fn", "macro_rules", "mod"}
# `use name;` names itself.
MOST_RENAMES = 32


def of_crate(root):
    """The imports among the files below the root file of a crate, each pair of files once."""
    crate = Crate(pathlib.Path(root))
    found = {}
    for module in crate.modules:
        for path, line in module.uses + module.paths:
            target = crate.resolve(module, path)
            if target is not None and target.file != module.file:
                found.setdefault((module.file, target.file), Import(module.file, target.file, line, "::".join(path)))
    return list(found.values())


def mutual(imports):
    """Those pairs of imports whose files import each other."""
    by_files = {(one.source, one.target): one for one in imports}
    for (source, target), one in sorted(by_files.items()):
        if source < target and (target, source) in by_files:
            yield one, by_files[target, source]


def circles(imports):
    """Groups of three files or more, each of which imports every other one by way of others."""
    targets = collections.defaultdict(set)
    for one in imports:
        targets[one.source].add(one.target)
    reach = {source: reachable(source, targets) for source in list(targets)}
    groups = {frozenset(other for other in seen if file in reach.get(other, ())) for file, seen in reach.items()}
    return sorted(sorted(group) for group in groups if len(group) > 2)


def reachable(source, targets):
    seen, rest = set(), [source]
    while rest:
        new = targets[rest.pop()] - seen
        seen |= new
        rest += new
    return seen


class Module:
    """A module: its file, what it declares, and the paths in it with their lines."""

    def __init__(self, file, parent):
        self.file, self.parent = file, parent
        self.children = {}
        self.items = set()
        self.names = {}
        self.globs = []
        self.uses = []
        self.paths = []


class Crate:
    def __init__(self, root):
        self.modules = []
        self.root = self.read(root, None, root.parent)

    def read(self, file, parent, directory):
        """Reads a file and those of the modules that it declares, which lie in `directory`."""
        module = Module(file, parent)
        self.modules.append(module)
        Reader(self, module, directory, tokens(file.read_text(encoding="utf-8"))).read()
        return module

    def resolve(self, module, path, renames=0):
        """The module in whose file the path's name is defined; `None` for what is in another crate."""
        first, *rest = path
        if first == "crate":
            module = self.root
        elif first in ("self", "super"):
            module = module.parent if first == "super" else module
        elif first in module.children or first in module.names or first in module.items:
            rest = path
        else:
            return None
        for number, name in enumerate(rest):
            if module is None:
                return None
            if name == "super":
                module = module.parent
            elif name in module.children:
                module = module.children[name]
            elif name == "self" or name in module.items:
                return module
            elif renames > MOST_RENAMES:
                return None
            elif name in module.names:
                return self.resolve(module, [*module.names[name], *rest[number + 1 :]], renames + 1)
            else:
                return self.resolve_glob(module, rest[number:], renames) or module
        return module

    def resolve_glob(self, module, names, renames):
        for glob in module.globs:
            target = self.resolve(module, glob, renames + 1)
            if target is None or target is module:
                continue
            if names[0] in target.children or names[0] in target.items or names[0] in target.names:
                return self.resolve(target, ["self", *names], renames + 1)
        return None


class Reader:
    """Takes the tokens of a file apart."""

    def __init__(self, crate, module, directory, found):
        self.crate, self.module, self.directory, self.tokens = crate, module, directory, found
        self.at = 0

    def word(self, ahead=0):
        at = self.at + ahead
        return self.tokens[at][0] if at < len(self.tokens) else ""

    def line(self):
        return self.tokens[min(self.at, len(self.tokens) - 1)][1]

    def read(self):
        """Up to the end of the file, or to the brace that closes an inline module."""
        depth, is_public, attributes = 0, False, []
        while word := self.word():
            if word == "#" and self.word(1) in ("[", "!"):
                attributes.append(self.attribute())
                continue
            if "cfg(test)" in attributes and word not in ("pub", "("):
                self.skip_item()
            elif word == "mod" and self.word(2) in (";", "{"):
                self.declare(attributes)
            elif word == "use" and self.word(1) != "<":
                self.use(is_public)
            elif word == "pub":
                self.at += 1
                is_public = True
                if self.word() == "(":
                    self.skip_group()
                continue
            elif word == "{" or word == "}":
                depth += 1 if word == "{" else -1
                self.at += 1
                if depth < 0:
                    return
            elif word in ITEMS and depth == 0 and re.match(r"\w", name := self.word(2 if word == "macro_rules" else 1)):
                self.module.items.add(name)
                self.at += 1
            elif word in ("crate", "super", "self") and self.word(1) == "::" and self.word(-1) != "in":
                self.inline_path()
            else:
                self.at += 1
            is_public, attributes = False, []

    def attribute(self):
        """Its words, without spaces."""
        self.at += 2 if self.word(1) == "!" else 1
        begin = self.at + 1
        self.skip_group()
        return "".join(word for word, _ in self.tokens[begin : self.at - 1])

    def skip_group(self):
        """From an opening bracket behind the one that closes it."""
        depth = 0
        while word := self.word():
            depth += (word in "([{") - (word in ")]}")
            self.at += 1
            if depth == 0:
                return

    def skip_item(self):
        while word := self.word():
            if word == "{":
                return self.skip_group()
            if word in ("(", "["):
                self.skip_group()
                continue
            self.at += 1
            if word == ";" or word == ",":
                return None
        return None

    def declare(self, attributes):
        name = self.word(1).removeprefix("r#")
        is_inline = self.word(2) == "{"
        self.at += 3
        if is_inline:
            child = Module(self.module.file, self.module)
            self.crate.modules.append(child)
            reader = Reader(self.crate, child, self.directory / name, self.tokens)
            reader.at = self.at
            reader.read()
            self.at = reader.at
        else:
            file = self.directory / f"{name}.rs"
            file = file if file.exists() else self.directory / name / "mod.rs"
            if not file.exists():
                return  # Made by a build script, or under a path of its own.
            child = self.crate.read(file, self.module, self.directory / name)
        self.module.children[name] = child

    def use(self, is_public):
        line = self.line()
        self.at += 1
        for path, name in self.tree([]):
            if name == "*":
                self.module.globs.append(path)
            elif name != "_":
                self.module.names[name] = path
            if not is_public:
                self.module.uses.append((path, line))
        self.at += 1

    def tree(self, prefix):
        """The paths of a declaration, each with the name that it gives."""
        path = list(prefix)
        if self.word() == "::":
            self.at += 1
            path = [""]
        while word := self.word():
            self.at += 1
            if word == "{":
                while self.word() != "}":
                    yield from self.tree(path)
                    if self.word() == ",":
                        self.at += 1
                self.at += 1
                return
            if word == "*":
                yield path, "*"
                return
            if word != "self" or not path:
                path.append(word.removeprefix("r#"))
            if self.word() == "as":
                yield path, self.word(1)
                self.at += 2
                return
            if self.word() != "::":
                yield path, path[-1]
                return
            self.at += 1

    def inline_path(self):
        line, path = self.line(), [self.word()]
        self.at += 1
        while self.word() == "::" and re.match(r"\w", self.word(1)):
            path.append(self.word(1).removeprefix("r#"))
            self.at += 2
        self.module.paths.append((path, line))


def tokens(text):
    """The words and signs of the code, each with its line."""
    code = NOT_CODE.sub(lambda found: re.sub(r"[^\n]+", " ", found[0]), text)
    return [(found[0], number) for number, line in enumerate(code.splitlines(), 1) for found in TOKEN.finditer(line)]


# A crate whose files import each other in every way that has to be seen, and in those that must not count.
SAMPLE = {
    "lib.rs": "mod a; mod b; mod c; mod d; pub use a::One; pub use b::{Two, inner::Three};",
    "a.rs": 'use crate::{c::Four, b::{self, inner::{Three as Other}}}; pub struct One; // use crate::d::Five;\nconst X: &str = "{";',
    "b.rs": "pub mod inner; pub struct Two; fn f() -> super::One { super::One }",
    "b/inner.rs": "pub struct Three; fn g(_: crate::d::Five) {}\n#[cfg(test)] mod tests { use crate::a::One; }",
    "c.rs": "pub struct Four; use super::Two;",
    "d.rs": "pub struct Five; use std::fmt; use super::b::inner::*;\n#[cfg(test)]\nuse crate::a::One;",
}
SAMPLE_MUTUAL = [("a.rs", "b.rs"), ("b/inner.rs", "d.rs")]


def self_test():
    """Fails where the sample's circles are not found."""
    with tempfile.TemporaryDirectory() as place:
        top = pathlib.Path(place)
        for name, text in SAMPLE.items():
            (top / name).parent.mkdir(exist_ok=True)
            (top / name).write_text(text)
        pairs = [(one.source, one.target) for one, _ in mutual(of_crate(top / "lib.rs"))]
        found = [tuple(str(file.relative_to(top)) for file in pair) for pair in pairs]
        if found != SAMPLE_MUTUAL:
            raise AssertionError(f"tests/imports.py finds {found} in its sample, not {SAMPLE_MUTUAL}")
