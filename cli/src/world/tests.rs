//! What the file may say, and the exact words for what it may not.

use super::*;

const WORLD: &str = include_str!("../../testdata/world.yaml");

fn complaints(text: &str) -> Vec<String> {
    match File::read("world.yaml", text) {
        Ok(file) => match file.refuse_dangling(None) {
            Ok(()) => Vec::new(),
            Err(Failure::Invalid { violations, .. }) => {
                violations.iter().map(ToString::to_string).collect()
            }
            Err(other) => panic!("{other:?}"),
        },
        Err(Failure::Invalid { violations, .. }) => {
            violations.iter().map(ToString::to_string).collect()
        }
        Err(other) => panic!("{other:?}"),
    }
}
