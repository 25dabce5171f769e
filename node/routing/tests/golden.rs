//! Plays every `testdata/*.txt` and compares the transcript. A line that begins with `> ` is a command, the
//! lines under it are what it answered; others are prose. `REWRITE=1 cargo test -p meridian-routing --test
//! golden` writes the transcripts anew, to be reviewed as a diff. Invariants are checked after every line.

#[allow(dead_code)] // each test uses its part
mod support;

use support::Play;

fn play(script: &str) -> String {
    let mut play = Play::default();
    let mut out = String::new();
    for line in script.lines() {
        if line.starts_with("  ") {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if let Some(command) = line.strip_prefix("> ") {
            for answer in play.line(command) {
                out.push_str(&answer);
                out.push('\n');
            }
            if let Err(broken) = meridian_routing::invariants::check(&play.state) {
                panic!("after '{line}': invariant {broken}");
            }
        }
    }
    out
}

/// The table that says which script proves which capability names scripts that are there.
#[test]
fn the_documented_scripts_exist() {
    let documents = include_str!("../../../docs/policy.md");
    let (_, table) = documents
        .split_once("| capability | script |")
        .expect("the table");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let rows = table.lines().filter_map(|row| row.rsplit_once(" | "));
    let names = rows.flat_map(|(_, scripts)| scripts.split('`').skip(1).step_by(2));
    let scripts: Vec<_> = names.filter(|name| !name.contains('/')).collect();
    assert!(scripts.len() > 30, "{scripts:?}");
    for name in scripts {
        let path = folder.join(format!("{name}.txt"));
        assert!(path.exists(), "docs/policy.md names '{name}'");
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // Scripts are files; the core itself reads none.
fn scripts_play_as_written() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .expect("testdata")
        .map(|e| e.expect("entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts");
    let rewrite = std::env::var_os("REWRITE").is_some();
    let mut differ = Vec::new();
    for path in paths {
        let script = std::fs::read_to_string(&path).expect("script");
        let played = play(&script);
        if rewrite {
            std::fs::write(&path, played).expect("write script");
        } else if played != script {
            let at = played
                .lines()
                .zip(script.lines())
                .position(|(a, b)| a != b)
                .unwrap_or(played.lines().count().min(script.lines().count()));
            differ.push(format!(
                "{}:{}: expected {:?}, got {:?}",
                path.display(),
                at + 1,
                script.lines().nth(at),
                played.lines().nth(at)
            ));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
