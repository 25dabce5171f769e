//! The command line's grammar: what holds for every command, and the commands.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    agent_work, agents, apply, backup, chat_acts, chats, cluster, completion, config, doctor,
    drill, hours, load, queues, sun,
};
use crate::failure::exit;
use crate::output::{Format, When};
use crate::time::parse_timeout;

const AFTER_HELP: &str = "\
Where settings come from, the first that is given: option, environment variable, default.
  MERIDIAN_ENDPOINTS  endpoints, comma separated
  NO_COLOR            no colours unless --color says otherwise";

/// Looks after a Meridian cluster: chats, agents, queues, configuration and members.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, after_help = format!("{AFTER_HELP}\n\n{}", exit::HELP))]
#[command(propagate_version = false, arg_required_else_help = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Nodes to ask, as http://HOST:PORT; the next is tried when one cannot answer
    #[arg(
        long = "endpoint",
        value_name = "URL",
        env = "MERIDIAN_ENDPOINTS",
        global = true
    )]
    #[arg(value_delimiter = ',', default_value = "http://127.0.0.1:7001")]
    pub endpoints: Vec<String>,
    /// Longest time for one question, over all endpoints; 1ms to 1h
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_timeout)]
    #[arg(global = true)]
    pub timeout: Duration,
    /// How results are written
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    pub output: Format,
    /// Whether to colour
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        global = true
    )]
    pub color: When,
    /// Only ids, and no notes
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Tell which endpoints are tried
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
}

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Read {
    /// At least as new as every write answered before; without it the node asked answers as it stands
    #[arg(long)]
    pub fresh: bool,
}

impl Read {
    /// As the API says it.
    pub fn consistency(self) -> i32 {
        use meridian_proto::livechat::v1::Consistency;
        if self.fresh {
            Consistency::Linearizable as i32
        } else {
            Consistency::Local as i32
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The cluster: its health, members, leader and snapshots
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Backups of the cluster while it runs
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Look the cluster over: what is wrong, what it would not survive, and the cure
    Doctor(doctor::DoctorCommand),
    /// Practise a failover on the live cluster: measures what users feel, and undoes itself
    #[command(subcommand)]
    Drill(drill::DrillCommand),
    /// Agents and whether they can take chats
    Agents(agents::AgentsCommand),
    /// Be one agent, to try things by hand
    #[command(subcommand)]
    Agent(agent_work::AgentCommand),
    /// Queues and what waits in them
    Queues(queues::QueuesCommand),
    /// Close a queue or a region at once, whatever its hours say, or open it again
    #[command(subcommand)]
    Closures(chat_acts::ClosuresCommand),
    /// Chats: find, explain, watch, and try them by hand
    #[command(subcommand)]
    Chats(chats::ChatsCommand),
    /// Make the configuration what a file says
    Apply(apply::ApplyCommand),
    /// The configuration in force
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Working hours: check, preview and import them, without a cluster
    #[command(subcommand)]
    Hours(hours::HoursCommand),
    /// Follow the sun: who covers which language when, and where nobody does
    #[command(subcommand)]
    Sun(sun::SunCommand),
    /// Play a day of chats round the world on a cluster on this machine, and lose a region
    Demo(crate::demo::DemoCommand),
    /// Play simulated regional traffic on a cluster for tests, and tell what people felt
    Load(load::LoadCommand),
    /// Print a completion script for a shell
    Completion(completion::CompletionCommand),
}

impl Command {
    /// Whether it plays so many people that one thread is too few.
    pub fn is_crowded(&self) -> bool {
        matches!(self, Self::Load(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains(exit::HELP), "{help}");
        assert!(help.contains("MERIDIAN_ENDPOINTS"));
    }
}
