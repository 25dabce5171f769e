#!/usr/bin/env python3
"""Writes ../src/table.rs from source.json; given an unpacked cldr-core package, writes source.json from it first."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE / "source.json"
TABLE = HERE.parent / "src" / "table.rs"


def below(region, containment):
    """A region with all that lies in it: countries, subregions, and groupings such as Latin America."""
    found = {region}
    for kind in (region, f"{region}-status-grouping"):
        for part in containment.get(kind, {}).get("_contains", []):
            found |= below(part, containment)
    return found


def members(value, containment):
    """The regions of a match variable, such as AS+CA or 019."""
    codes = value.split("+")
    if not all(code.isalnum() for code in codes):
        sys.exit(f"the match variable {value!r} does more than add regions; teach members() what it means")
    return sorted(set().union(*(below(code, containment) for code in codes)))


def trim(package):
    """What the table needs of the package, a rule a line so that a new version reads well as a difference."""
    read = lambda name: json.loads((package / name).read_text(encoding="utf-8"))
    matching = read("supplemental/languageMatching.json")["supplemental"]["languageMatching"]["written-new"]
    containment = read("supplemental/territoryContainment.json")["supplemental"]["territoryContainment"]
    wanted = set()
    for variable in matching["matchVariables"].values():
        wanted.update(members(variable["_value"], containment))
    kept = {k: v for k, v in containment.items() if k.removesuffix("-status-grouping") in wanted}
    line = lambda value: json.dumps(value, ensure_ascii=False)
    block = lambda pairs: "{\n" + ",\n".join(f"    {line(k)}: {line(v)}" for k, v in pairs.items()) + "\n  }"
    SOURCE.write_text(
        "{\n"
        f'  "version": {line(read("package.json")["version"])},\n'
        f'  "paradigmLocales": {line(matching["paradigmLocales"])},\n'
        f'  "matchVariables": {block(matching["matchVariables"])},\n'
        f'  "territoryContainment": {block(kept)},\n'
        '  "languageMatch": [\n' + ",\n".join("    " + line(rule) for rule in matching["languageMatch"]) + "\n  ]\n}\n",
        encoding="utf-8",
    )


def packed(items):
    """Rust source of the items of a slice, as many on a line as fit."""
    lines = [""]
    for item in items:
        if len(lines[-1]) + len(item) > 110:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else '    '}{item},"
    return "\n".join(lines)


def rules(source, subtags):
    """The rules over that many subtags, in the order of the source: the first that holds decides."""
    text = lambda rule, side: json.dumps(rule[side])
    return packed(
        f"{'oneway' if rule.get('_oneway') else 'mutual'}"
        f"({text(rule, '_desired')}, {text(rule, '_supported')}, {rule['_distance']})"
        for rule in source["languageMatch"]
        if rule["_desired"].count("-") + 1 == subtags
    )


def emit(source):
    """The Rust module."""
    quoted = lambda items: packed(json.dumps(item) for item in items)
    const = lambda doc, name, kind, body: (
        f"\n/// {doc}\n#[rustfmt::skip]\npub(crate) const {name}: &[{kind}] = &[\n{body}\n];\n"
    )
    out = "//! Written by data/build.py from data/source.json: change those. See data/SOURCE.md.\n\n"
    out += "use crate::rule::{Rule, mutual, oneway};\n\n"
    out += f'/// The version of CLDR whose distances these are.\npub const CLDR_VERSION: &str = "{source["version"]}";\n'
    out += const(
        "Varieties that stand for their neighbours; they win ties.",
        "PARADIGMS",
        "&str",
        quoted(source["paradigmLocales"]["_locales"]),
    )
    variables = "\n".join(
        f'    ("{name}", &[\n{quoted(members(value["_value"], source["territoryContainment"]))}\n    ]),'
        for name, value in source["matchVariables"].items()
    )
    out += const("Sets of regions that rules name.", "VARIABLES", "(&str, &[&str])", variables)
    out += const("Between languages.", "LANGUAGES", "Rule", rules(source, 1))
    out += const("Between scripts, as language-Script.", "SCRIPTS", "Rule", rules(source, 2))
    out += const("Between regions, as language-Script-REGION.", "REGIONS", "Rule", rules(source, 3))
    TABLE.write_text(out, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        trim(pathlib.Path(sys.argv[1]))
    emit(json.loads(SOURCE.read_text(encoding="utf-8")))
