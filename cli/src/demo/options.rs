//! The demo's options, and what follows from them before anything is started.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use meridian_wan::Geography;

use super::error::DemoError;
use super::plan::Plan;

/// Longest round trip in ms: with 5 % of jitter on top, a node takes it as the distance of a voter.
const ROUND_TRIP_MS_MAX: u64 = 950;

/// Arguments of `meridian demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoCommand {
    /// Repeats the same people, arrivals and jitter
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Agents in the organisation
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(30..=5000))]
    pub agents: u32,
    /// Chats in the day
    #[arg(long, default_value_t = 700, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub chats: u64,
    /// How long the day takes, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..=86_400))]
    pub seconds: u64,
    /// The day played
    #[arg(long, default_value = "2026-11-24")]
    pub date: Date,
    /// Round trip between two regions in ms, as ONE-OTHER=MS; repeat it to change more
    #[arg(long = "rtt", value_name = "ONE-OTHER=MS", value_parser = round_trip)]
    pub round_trips: Vec<(String, String, u64)>,
    /// Kill nothing
    #[arg(long)]
    pub no_kill: bool,
    /// Keep the nodes' data and logs here, in an empty or a new directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// The node's program; by default the one beside this one
    #[arg(long, env = "MERIDIAN_NODE_BINARY", value_name = "FILE")]
    pub node_binary: Option<PathBuf>,
    /// Print the report as JSON, as `-o json` does
    #[arg(long)]
    pub json: bool,
    /// When the day is over, keep the cluster up until Ctrl-C, to look round with the other commands
    #[arg(long)]
    pub stay: bool,
}

fn round_trip(text: &str) -> Result<(String, String, u64), String> {
    let parsed = text.split_once('=').and_then(|(pair, ms)| {
        let (one, other) = pair.split_once('-')?;
        let ms = ms.parse().ok().filter(|ms| *ms <= ROUND_TRIP_MS_MAX)?;
        Some((one.to_owned(), other.to_owned(), ms))
    });
    parsed.ok_or_else(|| {
        format!(
            "'{text}' is not ONE-OTHER=MS with at most {ROUND_TRIP_MS_MAX} ms, such as eu-us=80"
        )
    })
}

/// What the options come to.
pub struct Setting {
    /// Who and what.
    pub plan: Plan,
    /// The cluster's regions.
    pub regions: Vec<String>,
    /// The distances.
    pub geography: Geography,
    /// The node's program.
    pub binary: PathBuf,
    /// What deserves a word.
    pub warnings: Vec<String>,
}

impl Setting {
    /// Checks the options against the world.
    ///
    /// # Errors
    /// [`DemoError::Option`] naming the flag.
    pub fn new(command: &DemoCommand) -> Result<Self, DemoError> {
        let refuse = |flag, problem: String| DemoError::Option { flag, problem };
        if let Some(dir) = &command.keep
            && std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
        {
            let problem = "is not empty; name an empty or a new directory";
            return Err(refuse("--keep", format!("{} {problem}", dir.display())));
        }
        let binary = command.node_binary.clone().map_or_else(beside, Ok)?;
        if !binary.is_file() {
            let problem = "is not there; build it with `cargo build -p meridian-node`, or name it";
            return Err(refuse(
                "--node-binary",
                format!("{} {problem}", binary.display()),
            ));
        }
        let midnight = command.date.to_datetime(jiff::civil::Time::midnight());
        let day = TimeZone::UTC.to_timestamp(midnight);
        let day = day.map_err(|e| refuse("--date", e.to_string()))?;
        let plan = Plan::make(
            command.seed,
            command.agents,
            command.chats,
            day.as_millisecond(),
            command.seconds as i64 * 1000,
        )
        .map_err(|problem| refuse("the world", problem))?;
        let regions = plan.organisation.regions.iter();
        let regions: Vec<String> = regions.map(|r| r.id.to_string()).collect();
        let geography = geography(&command.round_trips, &regions)
            .map_err(|problem| refuse("--rtt", problem))?;
        let mut warnings = Vec::new();
        let years = plan.holiday_years();
        if !years.contains(&command.date.year()) {
            warnings.push(format!(
                "--date: public holidays are known for {} to {}; in {} nobody has one",
                years.start(),
                years.end(),
                command.date.year()
            ));
        }
        Ok(Self {
            plan,
            regions,
            geography,
            binary,
            warnings,
        })
    }

    /// What is about to be played, in words.
    pub fn told(&self, command: &DemoCommand) -> Vec<String> {
        let mut lines = vec![format!(
            "{}: {} agents in {} regions, {} chats on {}, seed {}",
            self.plan.organisation.workspace.name,
            command.agents,
            self.regions.len(),
            command.chats,
            command.date,
            command.seed
        )];
        for (i, one) in self.regions.iter().enumerate() {
            for other in &self.regions[i + 1..] {
                if let Ok(there_and_back) = self.geography.round_trip(one, other) {
                    let ms = there_and_back.as_millis();
                    lines.push(format!("  {one} to {other} and back: {ms} ms"));
                }
            }
        }
        lines
    }
}

fn geography(
    round_trips: &[(String, String, u64)],
    regions: &[String],
) -> Result<Geography, String> {
    let mut geography = Geography::default();
    for (one, other, ms) in round_trips {
        if let Some(name) = [one, other].into_iter().find(|r| !regions.contains(r)) {
            let known = regions.join(", ");
            return Err(format!("there is no region '{name}'; name two of {known}"));
        }
        if one == other {
            return Err(format!("'{one}-{other}' is one region; name two"));
        }
        geography = geography.with(one, other, Duration::from_millis(*ms));
    }
    Ok(geography)
}

/// The node's program beside this one.
fn beside() -> Result<PathBuf, DemoError> {
    let own = std::env::current_exe().map_err(DemoError::io("this program's own place"))?;
    Ok(own.with_file_name("meridian-node"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_between_known_regions() {
        assert_eq!(
            round_trip("eu-us=200"),
            Ok(("eu".to_owned(), "us".to_owned(), 200))
        );
        let refused = "'eu-us=951' is not ONE-OTHER=MS with at most 950 ms, such as eu-us=80";
        assert_eq!(round_trip("eu-us=951"), Err(refused.to_owned()));
        let regions = ["ap", "eu", "us"].map(str::to_owned);
        let with = |text: &str| geography(&[round_trip(text).expect("parsed")], &regions);
        assert_eq!(
            with("eu-mars=80"),
            Err("there is no region 'mars'; name two of ap, eu, us".to_owned())
        );
        assert_eq!(
            with("eu-eu=80"),
            Err("'eu-eu' is one region; name two".to_owned())
        );
        let far = with("us-eu=300").expect("known regions");
        assert_eq!(far.round_trip("eu", "us"), Ok(Duration::from_millis(300)));
    }
}
