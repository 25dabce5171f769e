//! Writes an organisation as the file of `meridian apply -f`: `cargo run -p meridian-traffic --example
//! world -- 300 1 > world.yaml` (agents, seed). Languages with hours in the coming week of 2026-11-23 in
//! which nobody fluent is on shift are reported on standard error.

use meridian_traffic::coverage::coverage;
use meridian_traffic::format::Level;
use meridian_traffic::generate::{Parameters, generate};
use meridian_traffic::world::World;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut parameters = Parameters::default();
    if let Some(agents) = arguments.next() {
        parameters.agents = agents.parse()?;
    }
    if let Some(seed) = arguments.next() {
        parameters.seed = seed.parse()?;
    }
    let organisation = generate(&World::load()?, parameters)?;
    organisation.check()?;
    let week = coverage(&organisation, 1_795_392_000_000, 168, Level::Fluent)?;
    for language in week.on_shift.keys() {
        if let Some(gaps) = week.gaps(language).filter(|g| *g > 0) {
            eprintln!("{language}: nobody fluent on shift in {gaps} of 168 hours");
        }
    }
    print!("{}", organisation.to_yaml()?);
    Ok(())
}
