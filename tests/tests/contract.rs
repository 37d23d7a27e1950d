//! Checks that every promise of `CONTRACT.md` names tests and that these exist.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

const CONTRACT: &str = include_str!("../CONTRACT.md");

/// Minimum number of promises, to notice a table that was not parsed.
const LEAST: usize = 40;

/// Returns the files that may contain the tests of a module of this name.
fn places(file: &str) -> [String; 7] {
    [
        format!("tests/tests/{file}.rs"),
        format!("toa-userspace/tests/{file}.rs"),
        format!("toa-userspace/tests/{file}/main.rs"),
        format!("toa-userspace/src/{file}.rs"),
        format!("toa-userspace/src/{file}/tests.rs"),
        format!("toa-common/src/{file}.rs"),
        format!("xtask/embed/src/{file}.rs"),
    ]
}

/// Returns whether `source` has a test of this name, with the attribute on the line before.
fn has_test(source: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let mut lines = source.lines().map(str::trim);
    let mut before = lines.next();
    lines.any(|line| {
        let is_async = before.is_some_and(|before| before.starts_with("#[tokio::test"));
        let begins = line.trim_start_matches("async ").starts_with(&function);
        let is_test = (before == Some("#[test]") || is_async) && begins;
        before = Some(line);
        is_test
    })
}

/// Returns the promises, each with the tests that its row names.
fn promises() -> Result<Vec<(&'static str, Vec<&'static str>)>> {
    let rows = CONTRACT.lines().filter(|line| line.starts_with("| ") && *line != "| promise | tests |");
    rows.map(|row| {
        let (promise, tests) =
            row.trim_matches('|').rsplit_once(" | ").with_context(|| format!("not two columns: {row}"))?;
        let tests: Vec<_> = tests.split(',').map(|test| test.trim().trim_matches('`')).collect();
        Ok((promise.trim(), tests))
    })
    .collect()
}

#[test]
fn every_promise_has_tests_that_are_there() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let promises = promises()?;
    ensure!(promises.len() >= LEAST, "only {} promises", promises.len());
    for (promise, tests) in promises {
        for test in tests {
            let (file, name) = test.split_once("::").with_context(|| format!("{promise}: {test:?}"))?;
            let sources = places(file).map(|place| fs::read_to_string(root.join(place)));
            let found = sources.iter().flatten().any(|source| has_test(source, name));
            ensure!(found, "{promise}: there is no test {test}");
        }
    }
    Ok(())
}

#[test]
fn a_test_is_told_from_what_looks_like_one() {
    let source = "#[test]\nfn real() {}\n    #[test]\n    fn inner() -> Result<()> {\nfn helper() {}\n\
                  #[tokio::test(start_paused = true)]\nasync fn waiting() {}\nasync fn other() {}\n";
    assert!(["real", "inner", "waiting"].iter().all(|name| has_test(source, name)));
    assert!(!has_test(source, "other"));
    assert!(!has_test(source, "helper") && !has_test(source, "rea") && !has_test(source, "absent"));
}
