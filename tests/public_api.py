"""The public interface of a crate as lines of text, from what rustdoc writes as JSON: for tests/publish.

A line stands for a promise: where one has gone or has changed, code that uses the crate may not compile any more. So what users
may list in full is one line in full: the variants of an enum and the fields of a struct that are not `non_exhaustive`, and what
implementors of a trait have to write.
"""

import json

# The versions of rustdoc's format whose names for things this file knows.
FORMATS = range(53, 70)


class FormatError(Exception):
    """What rustdoc has written is not known here."""


def lines(path):
    """Those of the crate whose JSON lies at `path`, sorted."""
    crate = json.loads(path.read_text())
    if crate["format_version"] not in FORMATS:
        raise FormatError(f"{path.name} has format {crate['format_version']}, and tests/public_api.py knows {FORMATS[0]} to {FORMATS[-1]}")
    return sorted(set(Listing(crate).module(crate["root"], crate["index"][str(crate["root"])]["name"])))


class Listing:
    def __init__(self, crate):
        self.index = crate["index"]
        self.walking = []

    def item(self, number):
        return self.index.get(str(number))

    def module(self, number, path):
        if number in self.walking:
            return
        self.walking.append(number)
        for child in self.item(number)["inner"]["module"]["items"]:
            yield from self.any(self.item(child), path)
        self.walking.pop()

    def any(self, item, path, name=None):
        kind, inner = next(iter(item["inner"].items()))
        full = f"{path}::{name or item['name']}"
        if kind == "module":
            yield f"mod {full}"
            yield from self.module(item["id"], full)
        elif kind == "use":
            yield from self.use(inner, path)
        elif kind in ("struct", "enum", "union", "trait", "primitive"):
            yield from getattr(self, kind)(item, inner, full)
        elif kind == "function":
            yield self.function(inner, full)
        elif kind == "type_alias":
            yield f"type {full}{parameters(inner['generics'])} = {text(inner['type'])}{where(inner['generics'])}"
        elif kind == "constant":
            yield f"const {full}: {text(inner['type'])}"
        elif kind == "static":
            yield f"static {full}: {text(inner['type'])}"
        elif kind == "macro":
            yield f"macro {full}!"
        else:
            raise FormatError(f"{full} is a {kind}, which tests/public_api.py does not know")

    def use(self, inner, path):
        target = self.item(inner["id"]) if inner["id"] is not None else None
        if target is None:
            yield f"use {path}::{'*' if inner['is_glob'] else inner['name']} = {inner['source']}"
        elif inner["is_glob"]:
            if "module" in target["inner"]:
                yield from self.module(target["id"], path)
            else:
                for variant in target["inner"]["enum"]["variants"]:
                    yield f"use {path}::{self.item(variant)['name']}"
        else:
            yield from self.any(target, path, inner["name"])

    def struct(self, item, inner, full):
        head = f"struct {full}{parameters(inner['generics'])}"
        kind, tail = inner["kind"], where(inner["generics"])
        if kind == "unit":
            yield f"{head}{tail}" if is_exhaustive(item) else f"{head} {{ .. }}{tail}"
        elif "tuple" in kind:
            fields = [text(self.item(field)["inner"]["struct_field"]) if field is not None else "_" for field in kind["tuple"]]
            yield f"{head}({', '.join(fields)}){tail}"
        else:
            yield from self.fields(item, head, kind["plain"]["fields"], kind["plain"]["has_stripped_fields"], full, tail)
        yield from self.impls(inner["impls"], full)

    def union(self, item, inner, full):
        head = f"union {full}{parameters(inner['generics'])}"
        yield from self.fields(item, head, inner["fields"], inner["has_stripped_fields"], full, where(inner["generics"]))
        yield from self.impls(inner["impls"], full)

    def fields(self, item, head, fields, has_others, full, tail):
        named = [f"{self.item(field)['name']}: {text(self.item(field)['inner']['struct_field'])}" for field in fields]
        if is_exhaustive(item) and not has_others:
            yield f"{head} {{ {', '.join(named)} }}{tail}"
        else:
            yield f"{head} {{ .. }}{tail}"
            yield from (f"field {full}.{field}" for field in named)

    def enum(self, item, inner, full):
        head, tail = f"enum {full}{parameters(inner['generics'])}", where(inner["generics"])
        variants = [self.variant(self.item(variant)) for variant in inner["variants"]]
        if is_exhaustive(item) and not inner["has_stripped_variants"]:
            yield f"{head} {{ {', '.join(variants)} }}{tail}"
        else:
            yield f"{head} {{ .. }}{tail}"
            yield from (f"variant {full}::{variant}" for variant in variants)
        yield from self.impls(inner["impls"], full)

    def variant(self, item):
        kind = item["inner"]["variant"]["kind"]
        rest = "" if is_exhaustive(item) else ", .."
        if kind == "plain":
            return item["name"]
        if "tuple" in kind:
            fields = [text(self.item(field)["inner"]["struct_field"]) if field is not None else "_" for field in kind["tuple"]]
            return f"{item['name']}({', '.join(fields)}{rest})"
        fields = [f"{self.item(field)['name']}: {text(self.item(field)['inner']['struct_field'])}" for field in kind["struct"]["fields"]]
        return f"{item['name']} {{ {', '.join(fields)}{rest} }}"

    def trait(self, _item, inner, full):
        items = [self.item(number) for number in inner["items"]]
        required = [self.member(item, item["name"]) for item in items if self.is_required(item)]
        bounds = f": {bound_list(inner['bounds'])}" if inner["bounds"] else ""
        unsafe = "unsafe " if inner["is_unsafe"] else ""
        yield f"{unsafe}trait {full}{parameters(inner['generics'])}{bounds}{where(inner['generics'])} {{ {'; '.join(required)} }}"
        for item in items:
            if not self.is_required(item):
                yield f"{self.member(item, f'{full}::' + item['name'])} (provided)"

    @staticmethod
    def is_required(item):
        kind, inner = next(iter(item["inner"].items()))
        return not {"function": lambda: inner["has_body"], "assoc_const": lambda: inner["value"] is not None,
                    "assoc_type": lambda: inner["type"] is not None}[kind]()

    def primitive(self, _item, inner, full):
        yield from self.impls(inner["impls"], full)

    def impls(self, numbers, full):
        """What is called on a type, and which traits it has; not what the compiler and blanket implementations give it."""
        for item in filter(None, map(self.item, numbers)):
            inner = item["inner"]["impl"]
            if inner["is_synthetic"] or inner["blanket_impl"] is not None:
                continue
            if inner["trait"] is not None and inner["trait"]["path"].endswith("StructuralPartialEq"):
                continue  # the compiler's own, in whose place may come another
            members = [self.item(number) for number in inner["items"]]
            if inner["trait"] is None:
                for member in members:
                    if member["visibility"] == "public":
                        owner = f"{full}{arguments(inner['for'])}"
                        yield f"{self.member(member, f'{owner}::' + member['name'])}{where(inner['generics'], of='impl')}"
                continue
            sign = "!" if inner["is_negative"] else ""
            types = "".join(f" {self.member(member, member['name'])};" for member in members if "assoc_type" in member["inner"])
            yield (f"impl{parameters(inner['generics'])} {sign}{path_of(inner['trait'])} for {text(inner['for'])}"
                   f"{where(inner['generics'])}" + (f" {{{types} }}" if types else "")).replace("for Self", f"for {full}")

    def member(self, item, full):
        kind, inner = next(iter(item["inner"].items()))
        if kind == "function":
            return self.function(inner, full)
        if kind == "assoc_const":
            return f"const {full}: {text(inner['type'])}"
        bounds = f": {bound_list(inner['bounds'])}" if inner["bounds"] else ""
        default = f" = {text(inner['type'])}" if inner["type"] is not None else ""
        return f"type {full}{parameters(inner['generics'])}{bounds}{default}{where(inner['generics'])}"

    @staticmethod
    def function(inner, full):
        header = inner["header"]
        words = [word for word in ("const", "async", "unsafe") if header[f"is_{word}"]]
        if header["abi"] != "Rust":
            words.append(f'extern "{abi(header)}"')
        return " ".join([*words, f"fn {full}{parameters(inner['generics'])}{signature(inner['sig'])}{where(inner['generics'])}"])


def is_exhaustive(item):
    return not any("non_exhaustive" in str(attribute) for attribute in item["attrs"])


def abi(header):
    return header["abi"] if isinstance(header["abi"], str) else next(iter(header["abi"]))


def signature(found):
    """Names of arguments are no promise."""
    inputs = ["self" if (name, kind) == ("self", {"generic": "Self"}) else f"{receiver(kind)}" if name == "self" else text(kind)
              for name, kind in found["inputs"]]
    output = f" -> {text(found['output'])}" if found["output"] is not None else ""
    return f"({', '.join(inputs)}){output}"


def receiver(kind):
    return text(kind).replace("Self", "self") if "borrowed_ref" in kind else f"self: {text(kind)}"


def parameters(generics):
    shown = [parameter(one) for one in generics["params"]]
    shown = [one for one in shown if one]
    return f"<{', '.join(shown)}>" if shown else ""


def parameter(one):
    kind, inner = next(iter(one["kind"].items()))
    if kind == "lifetime":
        return one["name"] + (f": {' + '.join(inner['outlives'])}" if inner["outlives"] else "")
    if kind == "const":
        return f"const {one['name']}: {text(inner['type'])}" + (f" = {inner['default']}" if inner["default"] is not None else "")
    if inner["is_synthetic"]:
        return ""  # of `impl Trait` in an argument's place, which shows there
    default = f" = {text(inner['default'])}" if inner["default"] is not None else ""
    return one["name"] + (f": {bound_list(inner['bounds'])}" if inner["bounds"] else "") + default


def where(generics, of=None):
    shown = [predicate(one) for one in generics["where_predicates"]]
    if of == "impl":
        # Bounds of an implementation stand with each of its functions.
        shown += [one for one in map(parameter, generics["params"]) if ":" in one]
    return f" where {', '.join(shown)}" if shown else ""


def predicate(one):
    kind, inner = next(iter(one.items()))
    if kind == "bound_predicate":
        return f"{for_any(inner['generic_params'])}{text(inner['type'])}: {bound_list(inner['bounds'])}"
    if kind == "lifetime_predicate":
        return f"{inner['lifetime']}: {' + '.join(inner['outlives'])}"
    return f"{text(inner['lhs'])} == {term(inner['rhs'])}"


def for_any(params):
    names = [one["name"] for one in params if "lifetime" in one["kind"]]
    return f"for<{', '.join(names)}> " if names else ""


def bound_list(bounds):
    return " + ".join(map(bound, bounds))


def bound(one):
    kind, inner = next(iter(one.items()))
    if kind == "outlives":
        return inner
    if kind == "use":
        return f"use<{', '.join(next(iter(one.values())) for one in inner)}>"
    mark = {"none": "", "maybe": "?", "maybe_const": "~const "}[inner["modifier"]]
    return f"{for_any(inner['generic_params'])}{mark}{path_of(inner['trait'])}"


def path_of(path):
    """As it is written, without the modules on the way: those are others' and may change."""
    return path["path"].rpartition("::")[2] + generic_arguments(path["args"])


def arguments(kind):
    """Of the type that an implementation is for, unless they are its own parameters."""
    if "resolved_path" not in kind or kind["resolved_path"]["args"] is None:
        return ""
    return generic_arguments(kind["resolved_path"]["args"])


def generic_arguments(args):
    if args is None:
        return ""
    kind, inner = next(iter(args.items())) if isinstance(args, dict) else (args, None)
    if kind == "parenthesized":
        output = f" -> {text(inner['output'])}" if inner["output"] is not None else ""
        return f"({', '.join(map(text, inner['inputs']))}){output}"
    if kind != "angle_bracketed":
        return "(..)"
    shown = [argument(one) for one in inner["args"]] + [constraint(one) for one in inner["constraints"]]
    return f"<{', '.join(shown)}>" if shown else ""


def argument(one):
    if one == "infer":
        return "_"
    kind, inner = next(iter(one.items()))
    return inner if kind == "lifetime" else inner["expr"] if kind == "const" else text(inner)


def constraint(one):
    kind, inner = next(iter(one["binding"].items()))
    name = one["name"] + generic_arguments(one["args"])
    return f"{name} = {term(inner)}" if kind == "equality" else f"{name}: {bound_list(inner)}"


def term(one):
    kind, inner = next(iter(one.items()))
    return text(inner) if kind == "type" else inner["expr"]


def text(kind):
    """A type as Rust writes it."""
    if kind == "infer":
        return "_"
    name, inner = next(iter(kind.items()))
    if name in ("generic", "primitive"):
        return inner
    if name == "resolved_path":
        return path_of(inner)
    if name == "tuple":
        return f"({', '.join(map(text, inner))}{',' if len(inner) == 1 else ''})"
    if name == "slice":
        return f"[{text(inner)}]"
    if name == "array":
        return f"[{text(inner['type'])}; {inner['len']}]"
    if name == "borrowed_ref":
        words = [inner["lifetime"] or "", "mut" if inner["is_mutable"] else "", text(inner["type"])]
        return f"&{' '.join(filter(None, words))}"
    if name == "raw_pointer":
        return f"*{'mut' if inner['is_mutable'] else 'const'} {text(inner['type'])}"
    if name == "impl_trait":
        return f"impl {bound_list(inner)}"
    if name == "dyn_trait":
        bounds = [f"{for_any(one['generic_params'])}{path_of(one['trait'])}" for one in inner["traits"]]
        return f"dyn {' + '.join(bounds + [inner['lifetime']] * bool(inner['lifetime']))}"
    if name == "function_pointer":
        prefix = "unsafe " if inner["header"]["is_unsafe"] else ""
        prefix += f'extern "{abi(inner["header"])}" ' if inner["header"]["abi"] != "Rust" else ""
        return f"{for_any(inner['generic_params'])}{prefix}fn{signature(inner['sig'])}"
    if name == "qualified_path":
        if inner["trait"] is None or not inner["trait"]["path"]:
            return f"{text(inner['self_type'])}::{inner['name']}{generic_arguments(inner['args'])}"
        return f"<{text(inner['self_type'])} as {path_of(inner['trait'])}>::{inner['name']}{generic_arguments(inner['args'])}"
    raise FormatError(f"a type is a {name}, which tests/public_api.py does not know")
